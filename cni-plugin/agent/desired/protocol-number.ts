/** @see https://www.iana.org/assignments/protocol-numbers */
export const PROTOCOL_NUMBER = { TCP: 6, UDP: 17, SCTP: 132 } as const;
