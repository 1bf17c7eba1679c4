/** The template as the tables of docs/infrastructure.md: what a deployment creates, and what can be chosen. */
import { between } from './between.ts';
import { markdownTable } from './markdown-table.ts';

interface Template {
  readonly Parameters: Readonly<
    Record<string, { readonly Default?: string | number; readonly Description: string }>
  >;
  readonly Resources: Readonly<
    Record<
      string,
      {
        readonly Type: string;
        readonly Properties: Readonly<Record<string, unknown>>;
        readonly Condition?: string;
      }
    >
  >;
}

/** The page with its tables made anew. Throws when a resource of the template has no words here, or the other way round. */
export function createdTables(page: string, template: string): string {
  const parsed = JSON.parse(template) as Template; // our own
  const unknown = Object.keys(parsed.Resources).filter((id) => WORDS[id] === undefined);
  const gone = Object.keys(WORDS).filter((id) => parsed.Resources[id] === undefined);
  if (unknown.length + gone.length > 0)
    throw new Error(
      `created-tables.ts: say what these are, or take them out: ${[...unknown, ...gone].join(', ')}`,
    );
  const marked = (text: string, name: string, made: string): string =>
    between(text, { from: `<!-- made: ${name} -->`, to: '<!-- end -->' }, made);
  return marked(marked(page, 'resources', resources(parsed)), 'parameters', parameters(parsed));
}

interface Words {
  readonly why: string;
  readonly costs: string;
}

const FREE = 'nothing';

const WORDS: Readonly<Record<string, Words>> = {
  BackupBucket: {
    why: 'holds backups, their manifests, and the state of runs; stays when the stack is removed',
    costs: 'storage, requests, and retrieval from Infrequent Access',
  },
  WriteOnce: { why: 'nothing below `Backup_*` and `.tairlift/` is ever replaced; stays too', costs: FREE },
  OrchestratorRole: { why: 'what the function that runs plans may do', costs: FREE },
  UploaderRole: { why: 'what the function that copies backups may do', costs: FREE },
  OrchestratorOtherAccounts: { why: 'assuming the roles of source accounts', costs: FREE },
  UploaderOtherAccounts: { why: 'the same for the uploader', costs: FREE },
  OrchestratorKms: { why: 'using the key of the bucket', costs: 'requests of the key, at KMS' },
  UploaderKms: { why: 'the same for the uploader', costs: 'requests of the key, at KMS' },
  OrchestratorVpc: { why: 'network interfaces in the VPC', costs: FREE },
  UploaderVpc: { why: 'the same for the uploader', costs: FREE },
  LogsProject: { why: 'keeps the logs of this deployment apart', costs: FREE },
  LogsStore: { why: 'the lines that both functions log', costs: 'logs by their size, kept for `LogDays`' },
  LogsIndex: {
    why: 'makes them searchable, and the alarm on missing runs possible',
    costs: 'index by their size',
  },
  DeadLetters: {
    why: 'keeps events for a week that were given up after all retries, to be looked at and sent again',
    costs: 'requests; none while all is well',
  },
  OrchestratorErrors: { why: 'tells the contact group when the orchestrator fails', costs: FREE },
  UploaderErrors: { why: 'warns the contact group when an upload fails; it is tried again', costs: FREE },
  RunEvents: { why: 'watches for `tairlift:run-failed` and `tairlift:run-partial`', costs: FREE },
  RunEventContacts: { why: 'sends them to the contact group', costs: FREE },
  LateRuns: {
    why: 'goes off when no run ended well for a day and `LateRunHours`',
    costs: 'notifications by text message or call, if chosen',
  },
};

function resources({ Resources }: Template): string {
  return markdownTable(
    ['what', 'called', 'why', 'only if', 'costs'],
    Object.entries(Resources).map(([id, { Type, Properties, Condition = '' }]) => [
      Type.replace('ALIYUN::', ''),
      nameOf(Properties),
      WORDS[id]?.why ?? '',
      CONDITIONS[Condition] ?? '',
      WORDS[id]?.costs ?? '',
    ]),
  );
}

const CONDITIONS: Readonly<Record<string, string>> = {
  WithNewBucket: '`BucketIs` new',
  WithSourceRoles: '`SourceRoles`',
  WithKms: '`KmsKeyId`',
  WithVpc: '`VpcId`',
  WithLateRuns: '`LateRunHours` above 0',
};

const NAMES = ['BucketName', 'RoleName', 'PolicyName', 'RuleName', 'QueueName', 'LogstoreName', 'Name'];

/** As it will be called, with the parameters in brackets; nothing where it has no name of its own. */
function nameOf(properties: Readonly<Record<string, unknown>>): string {
  const detail = properties['Detail'] as Readonly<Record<string, unknown>> | undefined; // of a log alert
  const value = NAMES.map((name) => (detail ?? properties)[name]).find((name) => name !== undefined);
  if (value === undefined) return '';
  if (typeof value === 'string') return `\`${value}\``;
  const { Ref: parameter, 'Fn::Sub': text } = value as Readonly<Record<string, unknown>>;
  if (typeof parameter === 'string') return `\`<${parameter}>\``;
  // An attribute of another resource: what this one belongs to, not its name.
  if (typeof text !== 'string') return '';
  return `\`${text.replaceAll(/\$\{(?:ALIYUN::)?(\w+)\}/g, '<$1>')}\``;
}

function parameters({ Parameters }: Template): string {
  return markdownTable(
    ['parameter', 'default', 'meaning'],
    Object.entries(Parameters).map(([name, { Default, Description }]) => [
      `\`${name}\``,
      Default === undefined ? 'must be given' : Default === '' ? 'empty' : `\`${Default}\``,
      Description.replace(/\.$/, ''),
    ]),
  );
}
