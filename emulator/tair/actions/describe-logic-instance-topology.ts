import { ServiceError } from '../../http.ts';
import { authorize, findInstance, type TairAction } from '../state.ts';

/** Behind a node's id stands a number of the host. */
const FIRST_HOST = 6_889_415;

/**
 * The nodes of clusters and of instances with read replicas. It names no slots.
 * https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describelogicinstancetopology-redis
 */
export const describeLogicInstanceTopology: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeLogicInstanceTopology');
    const instance = findInstance(state, call);
    if (instance.architecture === 'standard')
      throw new ServiceError(
        400,
        'IncorrectDBInstanceType',
        'Current DB instance type does not support this operation.',
      );
    const node = (nodeId: string, nodeType: string, capacityMb: number, index: number) => ({
      NodeId: `${nodeId}#${FIRST_HOST + index}`,
      NodeType: nodeType,
      Capacity: String(capacityMb),
      Connection: '10000',
      Bandwidth: '96',
    });
    return {
      InstanceId: instance.id,
      RedisProxyList: { NodeInfo: [node(`${instance.id}-proxy-0`, 'proxy', 5120, 1000)] },
      RedisShardList: {
        NodeInfo: instance.nodeIds.map((id, index) => ({
          ...node(id, 'db', 1024, index),
          SubInstanceType: 'master',
        })),
      },
    };
  },
});
