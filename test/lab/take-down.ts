/**
 * Takes a lab down, whole or half built, by what the machine knows of it: its file, its mark on processes, its prefix on namespaces. May be
 * repeated. Ends nothing that is not the lab's.
 */
import { listNamespaces, removeNamespaces } from './fabric.ts';
import { endProcesses, findMarked } from './process.ts';
import { forgetLab, isOwned, listLabs, readLab } from './state.ts';
import { isLabId } from './topology.ts';

/** Processes, namespaces, files, in this order. @returns was there anything? */
export async function takeDown(id: string): Promise<boolean> {
  if (!isLabId(id)) return false;
  const state = readLab(id);
  const processes = [...(state?.processes ?? []), ...findMarked(id)];
  const etcd = processes.filter(({ name }) => name === 'etcd');
  // Etcd last: the others' farewells are quick only while it answers.
  const others = processes.filter(({ pid }) => !etcd.some((each) => each.pid === pid));
  await endProcesses(others);
  await endProcesses(etcd, 'SIGKILL');
  const namespaces = listNamespaces(id);
  await removeNamespaces(namespaces);
  // What a process left while it ended.
  await endProcesses(findMarked(id), 'SIGKILL');
  await removeNamespaces(listNamespaces(id));
  const known = listLabs().includes(id);
  forgetLab(id);
  return known || namespaces.length > 0;
}

/** Which labs `lab down` means when none is named: all but those that a living test run will close itself. */
export function unownedLabs(): readonly string[] {
  return listLabs().filter((id) => !isOwned(readLab(id)));
}
