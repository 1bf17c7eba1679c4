/**
 * InvokeFunction of both API generations; they differ in the names of one header and in the shape of errors.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-invokefunction
 * https://www.alibabacloud.com/help/en/functioncompute/fc-2-0/developer-reference/api-fc-open-2021-04-06-invokefunction
 */
import { ServiceError, type Reply } from '../../http.ts';
import type { FunctionSpec } from '../../world.ts';
import { newRequestId } from '../invoker.ts';
import { authorize, type Call, type Cloud } from './action.ts';

const MAX_SYNC_PAYLOAD_BYTES = 32 * 1024 * 1024;
const MAX_ASYNC_PAYLOAD_BYTES = 128 * 1024;
const MAX_DELAY_SECONDS = 3600;
const LOG_TAIL_BYTES = 4096;

export async function invokeFunction(call: Call, cloud: Cloud): Promise<Reply> {
  const spec = authorize(call, cloud, 'fc:InvokeFunction');
  switch (call.request.headers['x-fc-invocation-type'] ?? 'Sync') {
    case 'Sync':
      return await invokeAndWait(call, cloud, spec);
    case 'Async':
      return enqueue(call, cloud, spec);
    default:
      throw new ServiceError(400, 'InvalidArgument', "'x-fc-invocation-type' must be Sync or Async");
  }
}

async function invokeAndWait(
  { request, body }: Call,
  { invoker }: Cloud,
  spec: FunctionSpec,
): Promise<Reply> {
  limitPayload(body, MAX_SYNC_PAYLOAD_BYTES);
  const logType = request.headers['x-fc-log-type'] ?? 'None';
  if (logType !== 'None' && logType !== 'Tail')
    throw new ServiceError(400, 'InvalidArgument', "'x-fc-log-type' must be None or Tail");
  const requestId = newRequestId();
  const result = await invoker.invoke({
    spec,
    event: body,
    requestId,
    retryCount: 0,
    wait: false,
    signal: request.signal,
  });
  const headers: Record<string, string> = {
    'x-fc-request-id': requestId,
    'x-fc-instance-id': result.instanceId,
    'x-fc-invocation-duration': String(Math.ceil(result.durationMs)),
    'x-fc-max-memory-usage': result.peakRssMb.toFixed(2),
    'content-type': result.errorType === undefined ? 'application/octet-stream' : 'application/json',
  };
  // An error in the code is not an error of the API: 200, and this header.
  if (result.errorType !== undefined) headers['x-fc-error-type'] = result.errorType;
  if (logType === 'Tail')
    headers['x-fc-log-result'] = Buffer.from(invoker.logs(requestId))
      .subarray(-LOG_TAIL_BYTES)
      .toString('base64');
  return { status: 200, headers, body: result.body };
}

function enqueue({ request, body }: Call, { tasks }: Cloud, spec: FunctionSpec): Reply {
  limitPayload(body, MAX_ASYNC_PAYLOAD_BYTES);
  const { headers } = request;
  const taskId = headers['x-fc-async-task-id'] ?? headers['x-fc-stateful-async-invocation-id'];
  const task = tasks.submit({
    functionName: spec.name,
    event: body,
    delayMs: delaySeconds(headers['x-fc-async-delay']) * 1000,
    ...(taskId === undefined ? {} : { taskId }),
  });
  return { status: 202, headers: { 'x-fc-request-id': task.requestId, 'x-fc-async-task-id': task.taskId } };
}

function delaySeconds(text: string | undefined): number {
  if (text === undefined) return 0;
  const seconds = Number(text);
  if (!/^\d+$/.test(text) || seconds > MAX_DELAY_SECONDS)
    throw new ServiceError(
      400,
      'InvalidArgument',
      `'x-fc-async-delay' must be between 0 and ${MAX_DELAY_SECONDS}`,
    );
  return seconds;
}

function limitPayload(body: Buffer, maxBytes: number): void {
  if (body.length > maxBytes)
    throw new ServiceError(
      400,
      'EntityTooLarge',
      `payload size exceeds maximum allowed size (${maxBytes} bytes)`,
    );
}
