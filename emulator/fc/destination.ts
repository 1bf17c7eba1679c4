/**
 * What becomes of an asynchronous event that is given up: it is sent to the destination that the function names.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/result-callback
 */
import { decide } from '../policy.ts';
import { statementsOf, type Identity } from '../identity.ts';
import type { FunctionSpec } from '../world.ts';
import type { AsyncTask } from './async-tasks.ts';
import { accountOf } from './invoker.ts';

export interface DestinationMessage {
  readonly at: number;
  readonly functionName: string;
  /** ARN. */
  readonly destination: string;
  readonly body: string;
  /** Why it did not get there; nobody but the emulator tells that. */
  readonly lostBecause?: string;
}

/** Undefined when the function names no destination for its failures. */
export function messageOf(
  task: AsyncTask,
  spec: FunctionSpec,
  at: number,
  identity: Identity,
): DestinationMessage | undefined {
  const { onFailure: destination } = spec;
  if (destination === undefined) return undefined;
  const condition = task.status === 'Expired' ? 'EventAgeExceeded' : 'RetriesExhausted';
  const body = JSON.stringify({
    timestamp: at,
    requestContext: {
      requestId: task.requestId,
      functionArn: `acs:fc:${spec.region}:${accountOf(spec)}:functions/${spec.name}`,
      condition,
      approximateInvokeCount: task.attempts,
    },
    requestPayload: task.event.toString('utf8'),
    responseContext: { statusCode: 200, functionError: task.errorMessage?.split(':')[0] ?? '' },
    responsePayload: task.returnPayload ?? '',
  });
  const action = destination.startsWith('acs:mns:') ? 'mns:SendMessage' : 'fc:InvokeFunction';
  const allowed = decide(statementsOf(identity.role(spec.role)), { action, resource: destination });
  return {
    at,
    functionName: spec.name,
    destination,
    body,
    ...(allowed === 'allowed' ? {} : { lostBecause: `the role may not ${action} on ${destination}` }),
  };
}
