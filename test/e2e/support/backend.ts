/** On which backend this run's labs stand. vitest.config.ts runs what depends on it once on each. */
export const BACKEND = process.env.TENET_LAB_BACKEND === 'iptables' ? 'iptables' : 'nftables';
