import { describeAttribute } from '../describe-instance.ts';
import { authorize, findInstance, type TairAction } from '../state.ts';

/** https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describeinstanceattribute-redis */
export const describeInstanceAttribute: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeInstanceAttribute');
    return { Instances: { DBInstanceAttribute: [describeAttribute(findInstance(state, call))] } };
  },
});
