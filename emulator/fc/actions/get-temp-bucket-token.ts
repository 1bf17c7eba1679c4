/**
 * Where a client brings code before it creates or updates a function. Not in the API reference: seen in the vendor's
 * older client, which the deployment component still uses for this.
 */
import type { Reply } from '../../http.ts';
import { demand, formatTime, json, type Call, type Cloud } from './action.ts';

export async function getTempBucketToken(call: Call, cloud: Cloud): Promise<Reply> {
  demand({ ...call, functionName: '*' }, 'fc:GetTempBucketToken', cloud.region);
  const { session, bucket, objectName } = await cloud.code.token(call.caller, cloud.region);
  return json({
    credentials: {
      AccessKeyId: session.accessKeyId,
      AccessKeySecret: session.accessKeySecret,
      SecurityToken: session.securityToken,
      Expiration: formatTime(session.expiresAt),
    },
    ossRegion: `oss-${cloud.region}`,
    ossBucket: bucket,
    objectName,
  });
}
