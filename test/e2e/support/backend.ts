/** On which backend this run's labs stand. vitest.config.ts runs what depends on it once on each. */
export const BACKEND = process.env.TENET_LAB_BACKEND === 'iptables' ? 'iptables' : 'nftables';

/** How tests about the CNI binary call it. It knows no backend: on one it is started, on the other its code runs in the test's process. */
export const PLUGIN = BACKEND === 'nftables' ? 'binary' : 'in-process';
