/** Bytes out, bytes in: what a netlink connection needs of a socket, so that a test can play the kernel. Types only. */
export interface Transport {
  /** Sends one buffer of whole messages. @throws KernelError */
  send(bytes: Uint8Array): void;
  /** As `send`, leaving the thread free while the kernel works: some deletions wait for grace periods of 20 ms. */
  sendAsync(bytes: Uint8Array): Promise<void>;
  /** Waits for one datagram: a view that is valid until the next call. @throws KernelError (ENOBUFS when replies were lost) */
  receive(): Uint8Array;
  /** A datagram that is already waiting, if any. @throws KernelError (ENOBUFS when replies were lost) */
  poll(): Uint8Array | undefined;
  close(): void;
}
