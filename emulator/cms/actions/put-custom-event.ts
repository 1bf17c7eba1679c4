import { ServiceError } from '../../http.ts';
import { isAllowed } from '../../identity.ts';
import type { Action, Call } from '../../openapi/rpc-service.ts';
import type { CustomEvent } from '../cms-service.ts';

const MAX_EVENTS_IN_A_CALL = 50;

/** https://www.alibabacloud.com/help/en/cms/developer-reference/api-putcustomevent */
export function putCustomEvent(take: (event: CustomEvent) => void, now: () => number): Action {
  return {
    methods: ['POST', 'GET'],
    perform(call) {
      if (!isAllowed(call.principal, { action: 'cms:PutCustomEvent', resource: '*' }))
        throw new ServiceError(403, 'NoPermission', 'You are not authorized to perform this action.');
      const events = [...eventsIn(call, now)];
      if (events.length === 0) throw invalid('EventInfo is mandatory for this action.');
      for (const event of events) take(event);
      return { Code: '200', Message: 'success' };
    },
  };
}

function* eventsIn({ parameters, principal }: Call, now: () => number): Generator<CustomEvent> {
  for (let n = 1; n <= MAX_EVENTS_IN_A_CALL; n++) {
    const of = (member: string): string | undefined => parameters.get(`EventInfo.${n}.${member}`);
    const name = of('EventName');
    const content = of('Content');
    if (name === undefined && content === undefined) return;
    if (!name) throw invalid(`EventInfo.${n}.EventName is mandatory for this action.`);
    if (!content) throw invalid(`EventInfo.${n}.Content is mandatory for this action.`);
    const groupId = of('GroupId') ?? '0';
    if (!/^\d+$/.test(groupId)) throw invalid(`EventInfo.${n}.GroupId must be a number.`);
    yield { at: readTime(of('Time'), n) ?? now(), name, content, groupId, raisedBy: principal.arn };
  }
}

/** Milliseconds since 1970, or `20171013T170923.456+0800`. */
function readTime(text: string | undefined, n: number): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{13}$/.test(text)) return Number(text);
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})([+-]\d\d)(\d\d)$/.exec(text);
  if (parts === null) throw invalid(`EventInfo.${n}.Time is not well formatted.`);
  const [, year, month, day, hour, minute, second, offset, rest] = parts;
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${offset}:${rest}`);
}

const invalid = (message: string): ServiceError => new ServiceError(400, 'InvalidParameter', message);
