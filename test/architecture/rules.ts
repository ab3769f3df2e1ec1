/**
 * The shape of the code as data: which part may import which, which parts are pure, which library has a single importer.
 * docs/internals/imports.md shows this table (import-table.ts) and check.ts enforces it. Data only: reads no file, decides nothing.
 */

/** A part of the code. A file belongs to the FIRST area one of whose patterns matches its path. */
export interface Area {
  readonly name: string;
  /** paths from the root of the repository: `*` stands for any characters but `/`, `**` for any at all */
  readonly files: readonly string[];
  /** areas it may import besides itself; `dataplane/*` names every area that begins with `dataplane/` */
  readonly mayImport: readonly string[];
  /** no `node:*`, clock, randomness or environment; every area it may import at run time is pure as well */
  readonly pure?: true;
}

/** What changes the kernel's objects works with. */
const TO_THE_KERNEL: readonly string[] = [
  'dataplane/state',
  'dataplane/kernel-families',
  'dataplane/codecs',
  'dataplane/netlink',
  'dataplane/netlink-codec',
  'dataplane/system',
  'dataplane/errors',
  'dataplane/address',
];

/** In the order of the data's way up from the kernel. */
export const AREAS: readonly Area[] = [
  // dataplane: kernel objects. No tenant, no etcd, no HTTP.
  { name: 'dataplane/address', files: ['dataplane/address.ts'], mayImport: [], pure: true },
  { name: 'dataplane/errors', files: ['dataplane/errors.ts'], mayImport: [], pure: true },
  {
    name: 'dataplane/netlink-codec',
    files: ['dataplane/netlink/{bytes,message,attribute}.ts'],
    mayImport: ['dataplane/errors', 'dataplane/address'],
    pure: true,
  },
  {
    name: 'dataplane/kernel-families',
    files: ['dataplane/codecs/{rtnetlink/rtnetlink,nftables/nftables,conntrack/conntrack,ipset/ipset}.ts'],
    mayImport: [
      'dataplane/codecs',
      'dataplane/netlink',
      'dataplane/netlink-codec',
      'dataplane/errors',
      'dataplane/address',
    ],
  },
  {
    name: 'dataplane/codecs',
    files: ['dataplane/codecs/**'],
    mayImport: ['dataplane/netlink-codec', 'dataplane/errors', 'dataplane/address'],
    pure: true,
  },
  {
    name: 'dataplane/links',
    files: ['dataplane/links/**'],
    mayImport: TO_THE_KERNEL,
  },
  {
    name: 'dataplane/backends',
    files: [
      'dataplane/backends/backends.ts',
      'dataplane/backends/nftables/nftables-isolation.ts',
      'dataplane/backends/iptables/{iptables-isolation,link-guards}.ts',
      'dataplane/fragments/fragment-guards.ts',
    ],
    mayImport: ['dataplane/links', ...TO_THE_KERNEL],
  },
  {
    name: 'dataplane/state',
    files: ['dataplane/{state,diff,ownership,dataplane}.ts', 'dataplane/{backends,fragments}/**'],
    mayImport: ['dataplane/codecs', 'dataplane/netlink-codec', 'dataplane/errors', 'dataplane/address'],
    pure: true,
  },
  { name: 'dataplane/system', files: ['dataplane/system/**'], mayImport: ['dataplane/errors'] },
  {
    name: 'dataplane/netlink',
    files: ['dataplane/netlink/**'],
    mayImport: ['dataplane/netlink-codec', 'dataplane/errors', 'dataplane/system'],
  },
  { name: 'dataplane/kernel', files: ['dataplane/*.ts'], mayImport: ['dataplane/*'] },

  // controller: tenants and their allocation, REST, people's tools. No kernel.
  { name: 'controller/errors', files: ['controller/errors.ts'], mayImport: [], pure: true },
  {
    name: 'controller/model',
    files: ['controller/model/**'],
    mayImport: ['dataplane/address', 'controller/errors'],
    pure: true,
  },
  {
    name: 'controller/store-format',
    files: ['controller/store/keys.ts'],
    mayImport: ['controller/model', 'controller/errors', 'dataplane/address'],
    pure: true,
  },
  {
    name: 'controller/store',
    files: ['controller/store/**'],
    mayImport: ['controller/store-format', 'controller/model', 'controller/errors'],
  },
  {
    name: 'controller/evaluation',
    files: ['controller/evaluation/**'],
    mayImport: ['controller/model', 'controller/errors', 'dataplane/address'],
    pure: true,
  },
  {
    name: 'controller/enforcement',
    files: ['controller/enforcement/**'],
    mayImport: ['controller/store', 'controller/store-format', 'controller/model', 'controller/errors'],
  },
  {
    name: 'controller/operations',
    files: ['controller/operations/**'],
    mayImport: [
      'controller/enforcement',
      'controller/evaluation',
      'controller/store',
      'controller/store-format',
      'controller/model',
      'controller/errors',
      'dataplane/address',
    ],
  },
  {
    name: 'controller/api',
    files: ['controller/api/**'],
    mayImport: [
      'controller/operations',
      'controller/enforcement',
      'controller/evaluation',
      'controller/store',
      'controller/store-format',
      'controller/model',
      'controller/errors',
      'dataplane/address',
    ],
  },
  {
    name: 'controller/upkeep',
    files: ['controller/upkeep/**'],
    mayImport: [
      'controller/operations',
      'controller/store',
      'controller/store-format',
      'controller/model',
      'controller/errors',
    ],
  },
  { name: 'controller/cli', files: ['controller/cli/**'], mayImport: ['controller/model', 'controller/errors'] },
  { name: 'controller', files: ['controller/*.ts'], mayImport: ['controller/*', 'dataplane/address'] },

  // cni-plugin: the compute node. The binary knows nothing of the agent but their protocol.
  {
    name: 'cni-plugin/protocol',
    files: ['cni-plugin/{protocol,agent-protocol,bounded-json,cni-error,config,environment,result,version}.ts'],
    mayImport: [],
    pure: true,
  },
  { name: 'cni-plugin', files: ['cni-plugin/*.ts'], mayImport: ['cni-plugin/protocol'] },
  {
    name: 'agent/snapshot',
    files: ['cni-plugin/agent/watch/{snapshot,by-tenant}.ts'],
    mayImport: [
      'controller/model',
      'controller/store-format',
      'controller/store',
      'controller/errors',
      'dataplane/address',
    ],
    pure: true,
  },
  {
    name: 'agent/desired',
    files: ['cni-plugin/agent/desired/**'],
    mayImport: [
      'agent/snapshot',
      'controller/model',
      'controller/store-format',
      'dataplane/state',
      'dataplane/address',
    ],
    pure: true,
  },
  { name: 'agent/reconcile', files: ['cni-plugin/agent/reconcile/loop.ts'], mayImport: ['dataplane/state'] },
  {
    name: 'agent',
    files: ['cni-plugin/agent/**'],
    mayImport: [
      'agent/*',
      'cni-plugin/protocol',
      'controller/store',
      'controller/store-format',
      'controller/model',
      'controller/errors',
      'dataplane/*',
    ],
  },

  // What measures: it calls the product's own classes, and stands on the lab as the demo and the tests do, for what it
  // measures on a whole cluster is what they test there. Nothing imports it.
  {
    name: 'test/lab',
    files: ['test/lab/**'],
    mayImport: ['cni-plugin/protocol', 'cni-plugin', 'dataplane/system', 'dataplane/address'],
  },
  {
    name: 'bench',
    files: ['bench/**'],
    mayImport: ['test/lab', 'dataplane/*', 'controller/*', 'agent/*', 'cni-plugin/protocol'],
  },
];

/** What every impure area may import besides: the version that a program reports. */
export const OPEN_TO_EDGES: readonly string[] = ['package.json'];

/** A library that these files alone may import. */
export interface SingleImporter {
  readonly library: string;
  readonly files: readonly string[];
  readonly why: string;
}

export const SINGLE_IMPORTERS: readonly SingleImporter[] = [
  {
    library: 'koffi',
    files: ['dataplane/system/**', 'test/lab/{named-netns,probe/socket,probe/processors}.ts', 'bench/system/**'],
    why: 'one place crosses into C; the lab and the benchmarks have their own for sockets that the product has no use for',
  },
  { library: 'etcd3', files: ['controller/store/etcd-store.ts'], why: 'the store can be replaced by its fake' },
  { library: 'ip-num', files: ['dataplane/address.ts'], why: 'addresses have one canonical spelling' },
  { library: 'fastify', files: ['controller/api/**'], why: 'HTTP stays at the edge' },
];

/** Where records of the store are read, and the only files that take their keys apart and say what they are. */
export const RECORD_READERS: readonly string[] = [
  'controller/{api,enforcement,evaluation,model,operations,store,upkeep}/**',
  'controller/*.ts',
  'cni-plugin/agent/**',
];
export const RECORD_ROOMS: readonly string[] = ['controller/model/kinds/**'];
/** Types that a value has by its kind's checked read, never by a cast. */
export const RECORD_TYPES: readonly string[] = [
  ...['ClusterConfig', 'Tenant', 'Claim', 'Namespace', 'Policy', 'PolicySpec', 'Peering', 'Block', 'Endpoint'],
  ...['Node', 'Enforced', 'Denials', 'Traffic', 'NodeProblems'],
];

/** Started for every container: what its entry reaches is Node's own modules and the repository's files, no library. */
export const LIBRARY_FREE: readonly string[] = ['cni-plugin/main.ts'];

/** Lines of a file, comments and all, before it has to say here why it is better whole. */
export const FILE_LINES_LIMIT = 300;

/** Files over the limit. One that is back under it has to leave the list. */
export const LONG_FILES: readonly { readonly file: string; readonly why: string }[] = [
  {
    file: 'dataplane/backends/iptables/iptables-isolation.ts',
    why: 'one backend: reading back, changing, growing and checking share what it knows of its sets',
  },
];

/** Characters of a line in any tracked text file. */
export const LINE_LENGTH_LIMIT = 140;

/**
 * Words that stand where a noun should: pod, tenant, caller, node, program. The first of them is a value of REST as well, which is written
 * as a string, as code or as a key.
 */
export const NOUNLESS = /(?<!['`])\b(?:(?:no(?!body:)|some)body|who(?:m|ever))\b(?!['`])/i;

/** Files whose lines are not written by hand. */
export const GENERATED: readonly string[] = ['package-lock.json'];
