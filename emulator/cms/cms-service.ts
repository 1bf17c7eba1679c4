/** CloudMonitor on loopback: it takes custom events, and shows them. See docs/emulator/cms.md. */
import type { Service } from '../http.ts';
import { createRpcService } from '../openapi/rpc-service.ts';
import type { World } from '../world.ts';
import { putCustomEvent } from './actions/put-custom-event.ts';

export interface CustomEvent {
  /** Milliseconds since 1970, as the caller has it. */
  readonly at: number;
  readonly name: string;
  readonly content: string;
  readonly groupId: string;
  /** ARN. */
  readonly raisedBy: string;
}

export interface Cms {
  readonly service: Service;
  /** All that were raised, in the order in which they came. */
  events(): readonly CustomEvent[];
}

/** Older ones are dropped beyond this many. */
const MAX_EVENTS = 10_000;

export function createCms({ identity, clock }: World): Cms {
  const events: CustomEvent[] = [];
  const take = (event: CustomEvent): void => {
    events.push(event);
    if (events.length > MAX_EVENTS) events.shift();
  };
  return {
    service: createRpcService({
      name: 'cms',
      version: '2019-01-01',
      identity,
      targetParameters: ['EventInfo.1.EventName'],
      actions: { PutCustomEvent: putCustomEvent(take, () => clock.now()) },
    }),
    events: () => [...events],
  };
}
