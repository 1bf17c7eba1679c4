/**
 * What PutAsyncInvokeConfig takes.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-putasyncinvokeconfig
 */
import * as z from 'zod';
import { checked, readJson } from './function-config.ts';

const DESTINATION =
  /^(acs:fc:[\w-]+:\d+:functions\/[\w-]+(\/[\w-]+)?|acs:mns:[\w-]+:\d+:\/(queues|topics)\/[\w-]+\/messages|acs:(mq|eventbridge):\S+)$/;

const destination = z
  .looseObject({
    destination: z
      .string()
      .refine((arn) => arn === '' || DESTINATION.test(arn), 'the ARN of a function, queue, topic or bus')
      .optional(),
  })
  .optional();

const schema = z.looseObject({
  asyncTask: z.boolean().optional(),
  maxAsyncRetryAttempts: z.int().min(0).max(8).optional(),
  maxAsyncEventAgeInSeconds: z.int().min(1).max(604_800).optional(),
  destinationConfig: z.looseObject({ onSuccess: destination, onFailure: destination }).optional(),
});

export type AsyncConfigInput = z.infer<typeof schema>;

export const readAsyncConfig = (body: Buffer): AsyncConfigInput => checked(schema, readJson(body));
