/**
 * Who is told when something is wrong: of a function that failed, of a run that did not end well, and of runs that did
 * not happen at all. The first two go to a contact group of CloudMonitor; the third is seen in the logs only, and log
 * alerts have receivers of their own.
 */
import * as ros from '@alicloud/ros-cdk-core';
import * as cms from '@alicloud/ros-cdk-cms';
import * as sls from '@alicloud/ros-cdk-sls';
import type { Names } from './names.ts';
import type { Parameters } from './parameters.ts';

export interface Logs {
  readonly project: string | ros.IResolvable;
  readonly logstore: string | ros.IResolvable;
}

export function addAlarms(stack: ros.Stack, names: Names, parameters: Parameters, logs: Logs): void {
  // What the orchestrator ends in is the run's outcome.
  addErrors(
    stack,
    'OrchestratorErrors',
    names.orchestratorErrors,
    names.orchestrator,
    'critical',
    parameters,
  );
  // An upload that fails is tried again, and what becomes of it is the orchestrator's to say.
  addErrors(stack, 'UploaderErrors', names.uploaderErrors, names.uploader, 'warn', parameters);
  addRunEvents(stack, names, parameters);
  addLateRuns(stack, names, parameters, logs);
}

/** While an alarm lasts, it is repeated so often. */
const REMINDER_SECONDS = 3600;

function addErrors(
  stack: ros.Stack,
  id: string,
  ruleName: string,
  functionName: string,
  level: 'critical' | 'warn',
  { contactGroup }: Parameters,
): void {
  const anyError = {
    // Of the counts of a minute; any error makes every one of the statistics larger than 0.
    statistics: 'Average',
    comparisonOperator: 'GreaterThanThreshold',
    threshold: '0',
    times: 1,
  };
  new cms.ResourceMetricRule(stack, id, {
    ruleName: ros.Fn.sub(ruleName),
    contactGroups: [contactGroup],
    // https://help.aliyun.com/en/functioncompute/fc/monitoring-metrics-1
    namespace: 'acs_fc',
    metricName: 'FunctionFunctionErrors',
    resources: [{ region: ros.RosPseudo.region, functionName: ros.Fn.sub(functionName) }],
    period: 60,
    interval: 60,
    // A function that is not invoked has no errors, and no data either.
    noDataPolicy: 'OK',
    silenceTime: REMINDER_SECONDS,
    escalations: level === 'critical' ? { critical: anyError } : { warn: anyError },
  });
}

/** The events of our own: functions/core/events.ts. Their content names the function, and so the stage. */
function addRunEvents(stack: ros.Stack, names: Names, { contactGroup }: Parameters): void {
  const rule = new cms.EventRule(stack, 'RunEvents', {
    ruleName: ros.Fn.sub(names.runEvents),
    description: 'A run of tairlift did not end well.',
    eventType: 'CUSTOM',
    state: 'ENABLED',
    silenceTime: 0,
    eventPattern: [
      {
        product: 'CustomEvent',
        nameList: ['tairlift:run-failed', 'tairlift:run-partial'],
        levelList: ['*'],
        customFilters: ros.Fn.sub(names.orchestrator),
      },
    ],
  });
  const targets = new cms.EventRuleTargets(stack, 'RunEventContacts', {
    ruleName: ros.Fn.sub(names.runEvents),
    contactParameters: [{ identity: '1', contactGroupName: contactGroup, level: '3' }],
  });
  targets.addDependency(rule);
}

/**
 * A query of a log alert spans at most 24 hours, which is too short for a run that comes once a day and takes longer
 * today than yesterday. So the last 24 hours are looked through every hour, and several empty looks in a row are asked for.
 * https://help.aliyun.com/en/sls/alerting-1
 */
function addLateRuns(stack: ros.Stack, names: Names, parameters: Parameters, logs: Logs): void {
  const alert = new sls.Alert(stack, 'LateRuns', {
    project: logs.project,
    detail: {
      name: ros.Fn.sub(names.lateRuns),
      displayName: ros.Fn.sub(names.lateRuns),
      type: 'Alert',
      state: 'Enabled',
      schedule: { type: 'FixedRate', interval: '1h', runImmediately: false },
      configuration: {
        version: '2.0',
        type: 'default',
        dashboard: 'internal-alert-analysis',
        queryList: [
          {
            storeType: 'log',
            region: ros.RosPseudo.region,
            project: logs.project,
            store: logs.logstore,
            query: GOOD_RUNS,
            timeSpanType: 'Relative',
            start: '-24h',
            end: 'now',
            powerSqlMode: 'auto',
          },
        ],
        groupConfiguration: { type: 'no_group' },
        severityConfigurations: [
          { severity: 10, evalCondition: { condition: 'runs == 0', countCondition: '' } },
        ],
        threshold: parameters.lateRunHours,
        // The count has always a row; should there be none, nothing is known, and that is no better.
        noDataFire: true,
        noDataSeverity: 10,
        sendResolved: true,
        autoAnnotation: true,
        annotations: [
          { key: 'title', value: ros.Fn.sub(`No run of tairlift-\${Stage} has ended well for a day`) },
          {
            key: 'desc',
            value:
              'Is the timer on, does the function start, what does `tairlift status` say? See docs/operating.md.',
          },
        ],
        policyConfiguration: {
          alertPolicyId: 'sls.builtin.dynamic',
          actionPolicyId: parameters.logAlertPolicy,
          repeatInterval: '6h',
          useDefault: false,
        },
      },
    },
  });
  if (alert.resource !== undefined) alert.resource.rosOptions.condition = parameters.conditions.WithLateRuns;
}

/**
 * The line is written by functions/orchestrator/tell-end.ts. It is looked for as text: what else the platform puts into
 * the field does not matter then. Only the first 1,024 characters are compared, and its fields stand at the beginning.
 */
const GOOD_RUNS = [
  'tairlift and run and succeeded |',
  'select count(*) as runs from log where message like \'%"event":"tairlift:run"%\'',
  'and message like \'%"status":"succeeded"%\'',
].join(' ');
