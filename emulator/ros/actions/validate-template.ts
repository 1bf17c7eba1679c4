import { required, type Action } from '../../openapi/rpc-service.ts';
import { RESOURCE_TYPES } from '../resource-types.ts';
import { readTemplate } from '../template.ts';
import { authorize, READ_WRITE } from './call.ts';

/** https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-validatetemplate */
export const validateTemplate: Action = {
  methods: READ_WRITE,
  perform(call) {
    authorize(call, 'ValidateTemplate');
    const { parameters, resources } = readTemplate(
      required(call, 'TemplateBody'),
      new Set(RESOURCE_TYPES.keys()),
    );
    return {
      Parameters: Object.entries(parameters).map(([name, { Type }]) => ({ ParameterKey: name, Type })),
      ResourceTypes: { Resources: [...new Set(Object.values(resources).map(({ Type }) => Type))] },
    };
  },
};
