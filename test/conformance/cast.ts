/** Who is in the scene at the start of every case. Data. */
import type { NamedPort, PodPlan } from './case.ts';
import type { Labels } from './policy-input.ts';

export const TENANT = 'acme';
export const PEER = 'globex';
const STRANGER = 'initech';

/** Namespaces by tenant. Labels of other tenants' are those of the tenant's own: selectors must not see them. */
export const NAMESPACES: readonly { readonly tenant: string; readonly name: string; readonly labels: Labels }[] = [
  { tenant: TENANT, name: 'x', labels: { ns: 'x', env: 'prod' } },
  { tenant: TENANT, name: 'y', labels: { ns: 'y', env: 'test' } },
  { tenant: TENANT, name: 'z', labels: { ns: 'z' } },
  { tenant: PEER, name: 'p', labels: { ns: 'y', env: 'test' } },
  { tenant: STRANGER, name: 's', labels: { ns: 'y', env: 'test' } },
];

export const TENANTS: readonly string[] = [TENANT, PEER, STRANGER];

/** The tenant of a namespace; one that a case makes is the tenant's own. */
export function tenantOf(namespace: string): string {
  return NAMESPACES.find(({ name }) => name === namespace)?.tenant ?? TENANT;
}

/** Every pod names each of its ports: `tcp-80` and so on. */
const NUMBERED: readonly NamedPort[] = (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
  [80, 81].map((containerPort) => ({ name: `${protocol.toLowerCase()}-${containerPort}`, containerPort, protocol })),
);

/** `web` and `mix` are something else on each pod, and `web` is nothing on c. */
const BY_POD: Readonly<Record<string, { readonly labels: Labels; readonly ports: readonly NamedPort[] }>> = {
  a: {
    labels: { pod: 'a', tier: 'front' },
    ports: [
      { name: 'web', containerPort: 80, protocol: 'TCP' },
      { name: 'mix', containerPort: 80, protocol: 'UDP' },
    ],
  },
  b: {
    labels: { pod: 'b', tier: 'back' },
    ports: [
      { name: 'web', containerPort: 81, protocol: 'TCP' },
      { name: 'mix', containerPort: 80, protocol: 'TCP' },
    ],
  },
  c: { labels: { pod: 'c' }, ports: [{ name: 'mix', containerPort: 80, protocol: 'SCTP' }] },
};

/** The plan of a pod as it is at the start. @param name `namespace/name` */
function plan(name: string, host: 'node1' | 'node2'): Required<PodPlan> {
  const { labels = {}, ports = [] } = BY_POD[name.split('/')[1] ?? ''] ?? {};
  return { name, host, labels, ports: [...NUMBERED, ...ports] };
}

/** Neighbours in this list are on different hosts, so each pod has some at home and some abroad. */
const OWN = ['x', 'y', 'z'].flatMap((namespace) => ['a', 'b', 'c'].map((pod) => `${namespace}/${pod}`));
const OTHERS = ['p/a', 'p/b', 's/a'];

export const PODS: readonly Required<PodPlan>[] = [...OWN, ...OTHERS].map((name, index) =>
  plan(name, index % 2 === 0 ? 'node1' : 'node2'),
);

/** Addresses beyond the cluster. The first network is the lab's own outside, the second lies behind it. */
export const OUTSIDE_ADDRESSES: Readonly<Record<string, string>> = {
  'out/a': '198.51.100.10',
  'out/b': '198.51.100.77',
  'far/a': '203.0.113.5',
  'far/b': '203.0.113.200',
};
/** Behind the lab's outside host. */
export const FAR_NETWORK = '203.0.113.0/24';
