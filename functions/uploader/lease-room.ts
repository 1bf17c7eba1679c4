/**
 * The room in memory for the parts of one backup: slots in the memory of the loops, and the lanes that use them.
 * Workspaces are used again by the next invocation of a warm process: nothing of a run is left in them that anybody
 * looks at, and a second one beside the first, which waits for the garbage collector, would double the memory.
 */
import { BackupError } from '../core/errors.ts';
import { governLanes } from '../core/transfer/governor.ts';
import { createSlotPool, type SlotPool } from '../core/transfer/slot-pool.ts';
import { createWorkspace, type Workspace } from '../core/wasm/workspace.ts';
import { lanesFor } from './lanes-for.ts';

export interface Room {
  readonly workspace: Workspace;
  /** Its slots are the workspace's. */
  readonly pool: SlotPool;
  /** Tell it of bytes that are done: how many lanes are worth their while is learnt from that. */
  readonly passed: (bytes: number) => void;
  /** Nobody reads or writes the slots any more. */
  readonly end: () => void;
}

let idle: Workspace | undefined;

/**
 * @param partBytes of the largest part
 * @param memoryMb of the function; the usual lanes if it is not known
 * @throws BackupError CONFIG_INVALID if not even one part has room, or WebAssembly cannot address the slots
 */
export function leaseRoom(partBytes: number, memoryMb: number | undefined): Room {
  const { lanes, slots } = lanesFor(partBytes, memoryMb);
  const workspace = leaseWorkspace(slots, partBytes);
  const pool = createSlotPool(slots, partBytes, lanes, (number) => slotOf(workspace, number));
  const governor = governLanes(pool);
  return {
    workspace,
    pool,
    passed: (bytes) => governor.passed(bytes),
    end: () => {
      // A scanner that was given up in the middle still has them.
      workspace.returnTables();
      idle = workspace;
    },
  };
}

function leaseWorkspace(slotCount: number, slotBytes: number): Workspace {
  const isEnough =
    idle !== undefined && idle.slots.length >= slotCount && (idle.slots[0]?.length ?? 0) === slotBytes;
  const workspace = isEnough && idle !== undefined ? idle : createWorkspace(slotCount, slotBytes);
  idle = undefined;
  return workspace;
}

function slotOf({ slots }: Workspace, number: number): Buffer {
  const slot = slots[number];
  if (slot === undefined) throw new BackupError('INTERNAL', `take slot ${number} of ${slots.length}`);
  return slot;
}
