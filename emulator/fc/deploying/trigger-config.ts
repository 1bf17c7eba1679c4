/**
 * What CreateTrigger and UpdateTrigger take. Only timers can be emulated: nothing else here would ever fire.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-struct-timertriggerconfig
 */
import * as z from 'zod';
import { parseSchedule } from '../timers.ts';
import type { TimerConfig } from './deployments.ts';
import { checked, invalidArgument, readJson } from './function-config.ts';

const MAX_PAYLOAD_BYTES = 128 * 1024;

const triggerSchema = z.looseObject({
  triggerName: z.string().regex(/^[A-Za-z_][A-Za-z0-9_-]{0,127}$/, 'letters, digits, _ and -, at most 128'),
  triggerType: z.literal('timer', 'the emulator knows timers only'),
  triggerConfig: z.string('JSON as text'),
  qualifier: z.literal(['', 'LATEST'], 'the emulator has no versions and no aliases').default('LATEST'),
  description: z.string().max(256).default(''),
});

const timerSchema = z.looseObject({
  cronExpression: z.string('a schedule'),
  enable: z.boolean('true or false'),
  payload: z
    .string()
    .refine((text) => Buffer.byteLength(text) <= MAX_PAYLOAD_BYTES, `at most ${MAX_PAYLOAD_BYTES} bytes`)
    .default(''),
});

export interface TriggerInput {
  readonly triggerName: string;
  readonly triggerType: 'timer';
  readonly qualifier: string;
  readonly description: string;
  readonly config: TimerConfig;
}

/** @param before what is kept where the request says nothing */
export function readTrigger(body: Buffer, before?: TriggerInput): TriggerInput {
  const given = readJson(body);
  const { triggerConfig, ...rest } = checked(triggerSchema, {
    ...(before === undefined ? {} : { ...before, triggerConfig: JSON.stringify(before.config) }),
    ...given,
    ...(before === undefined ? {} : { triggerName: before.triggerName, triggerType: before.triggerType }),
  });
  const { triggerName, triggerType, description } = rest;
  const config = checked(timerSchema, readJson(Buffer.from(triggerConfig)));
  checkSchedule(config.cronExpression);
  return { triggerName, triggerType, description, qualifier: 'LATEST', config };
}

function checkSchedule(text: string): void {
  try {
    if (parseSchedule(text).next(Date.now()) !== undefined) return;
  } catch {
    // Said below, in the service's own way.
  }
  throw invalidArgument(`triggerConfig.cronExpression: '${text}' is not valid, or never comes`);
}
