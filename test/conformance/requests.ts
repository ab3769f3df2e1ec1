/** What the suite asks of REST: each write is answered once it is in every kernel concerned. */
import type { Lab } from '../lab/lab.ts';
import type { NamedPort } from './case.ts';
import { PEER, TENANT, tenantOf } from './cast.ts';
import type { Labels, Spec } from './policy-input.ts';

const WAIT = 'wait=enforced&timeout=60s';

interface EndpointOfPod {
  readonly plan: { readonly name: string };
  readonly endpoint: string;
}

/** Every call throws an Error with the answer if it is refused, or is not enforced in time. */
export class Requests {
  readonly #lab: Lab;

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** @param where `namespace:policy` */
  async putPolicy(where: string, spec: Spec): Promise<void> {
    await this.#write('PUT', policyPath(where), spec);
  }

  /** One that was refused is not there. */
  async deletePolicy(where: string): Promise<void> {
    await this.#write('DELETE', policyPath(where), undefined, [200, 404]);
  }

  async setLabels(pod: EndpointOfPod, labels: Labels): Promise<void> {
    await this.#write('PUT', `${endpointPath(pod)}/labels`, { labels });
  }

  async setPorts(pod: EndpointOfPod, ports: readonly NamedPort[]): Promise<void> {
    await this.#write('PUT', `${endpointPath(pod)}/ports`, { ports });
  }

  /** Makes it, or sets its labels. */
  async putNamespace(name: string, labels: Labels): Promise<void> {
    await this.#write('PUT', namespacePath(name), { labels });
  }

  async deleteNamespace(name: string): Promise<void> {
    await this.#write('DELETE', namespacePath(name));
  }

  async putPeering(side: 'own' | 'peer'): Promise<void> {
    await this.#write('PUT', peeringPath(side));
  }

  async deletePeering(side: 'own' | 'peer'): Promise<void> {
    await this.#write('DELETE', peeringPath(side));
  }

  async #write(method: string, path: string, body?: unknown, accepted: readonly number[] = [200, 201]): Promise<void> {
    const response = await this.#lab.rest(method, `${path}?${WAIT}`, body);
    if (accepted.includes(response.status)) return;
    throw new Error(`${method} ${path} answered ${response.status}: ${JSON.stringify(response.body)}`);
  }
}

const namespacePath = (name: string): string => `/v1/tenants/${tenantOf(name)}/namespaces/${name}`;

function policyPath(where: string): string {
  const [namespace = '', policy = ''] = where.split(':');
  return `${namespacePath(namespace)}/policies/${policy}`;
}

function endpointPath({ plan, endpoint }: EndpointOfPod): string {
  const [namespace = ''] = plan.name.split('/');
  return `/v1/tenants/${tenantOf(namespace)}/endpoints/${endpoint}`;
}

function peeringPath(side: 'own' | 'peer'): string {
  const [from, to] = side === 'own' ? [TENANT, PEER] : [PEER, TENANT];
  return `/v1/tenants/${from}/peerings/${to}`;
}
