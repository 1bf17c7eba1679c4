/**
 * Workspaces are used again by the next invocation of a warm process: nothing of a run is left in them that anybody
 * looks at, and a second one beside the first, which waits for the garbage collector, would double the memory.
 */
import { createWorkspace, type Workspace } from '../core/wasm/workspace.ts';

export interface Lease {
  readonly workspace: Workspace;
  /** Nobody reads or writes the slots any more. */
  end(): void;
}

let idle: Workspace | undefined;

/** Throws CONFIG_INVALID if the slots together are more than WebAssembly can address. */
export function leaseWorkspace(slotCount: number, slotBytes: number): Lease {
  const isEnough =
    idle !== undefined && idle.slots.length >= slotCount && (idle.slots[0]?.length ?? 0) === slotBytes;
  const workspace = isEnough && idle !== undefined ? idle : createWorkspace(slotCount, slotBytes);
  idle = undefined;
  return {
    workspace,
    end: () => {
      // A scanner that was given up in the middle still has them.
      workspace.returnTables();
      idle = workspace;
    },
  };
}
