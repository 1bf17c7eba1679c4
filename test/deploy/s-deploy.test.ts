/** What the real CLI makes of the repository's `s.yaml`, and what is checked before it does anything. */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDeploymentFolder, type DeploymentFolder } from './deployment-folder.ts';
import { SAMPLE_VARIABLES } from './sample-deployment.ts';

let folder: DeploymentFolder;
beforeEach(() => {
  folder = makeDeploymentFolder();
});
afterEach(() => folder.remove());

describe('s deploy', () => {
  it('deploys what the functions need before the functions, under the names of the stage', async () => {
    const { code } = await folder.s(['deploy', '-y', '--env', 'prod'], SAMPLE_VARIABLES);

    expect(code).toBe(0);
    const asked = folder.asked();
    expect(asked.map(({ resource, command }) => `${command} ${resource}`)).toEqual([
      'deploy infra',
      'deploy orchestrator',
      'deploy uploader',
    ]);
    expect(asked.map(({ props }) => props['functionName'] ?? props['name'])).toEqual([
      'tairlift-prod',
      'tairlift-prod-orchestrator',
      'tairlift-prod-uploader',
    ]);
  });

  it('deploys one function alone, under the same names', async () => {
    await folder.s(['deploy', '-y', '--env', 'prod'], SAMPLE_VARIABLES);
    const [, , whole] = folder.asked();

    expect((await folder.s(['uploader', 'deploy', '-y', '--env', 'prod'], SAMPLE_VARIABLES)).code).toBe(0);
    expect(folder.asked()).toEqual([whole]);
  });

  it('begins nothing while a variable is missing, and names all of them', async () => {
    const { TAIRLIFT_BUCKET: _, TAIRLIFT_CONTACT_GROUP: __, ...credentials } = SAMPLE_VARIABLES;

    for (const args of [['deploy'], ['orchestrator', 'deploy']]) {
      const { code, said } = await folder.s([...args, '-y', '--env', 'prod'], credentials);
      expect([code, folder.asked()]).toEqual([101, []]);
      expect(said).toContain('infra.parameters.BucketName: it is not set; set TAIRLIFT_BUCKET');
      expect(said).toContain('infra.parameters.ContactGroup: it is not set; set TAIRLIFT_CONTACT_GROUP');
    }
  });

  it('begins nothing with values that cannot be, and names all of them', async () => {
    const { code, said } = await folder.s(['deploy', '-y'], {
      ...SAMPLE_VARIABLES,
      TAIRLIFT_STAGE: 'Prod',
      TAIRLIFT_BUCKET: 'My_Backups',
      TAIRLIFT_SCHEDULE: '0 2 * * *',
    });

    expect([code, folder.asked()]).toEqual([101, []]);
    expect(said).toContain(
      '"Prod" is not allowed: it has to match ^[a-z][a-z0-9-]{0,15}$; correct TAIRLIFT_STAGE',
    );
    expect(said).toContain('"My_Backups" is not allowed');
    expect(said).toContain('"0 2 * * *" is no schedule: it has 5 fields instead of six');
  });

  it('begins nothing for an environment that env.yaml does not have', async () => {
    const { code, said } = await folder.s(['deploy', '-y', '--env', 'prd'], SAMPLE_VARIABLES);

    expect([code, folder.asked()]).toEqual([101, []]);
    expect(said).toContain('there is no environment "prd"; did you mean "prod"?');
  });

  const inLinux = process.platform === 'linux' ? it : it.skip;
  inLinux('begins nothing for it where there is no ps either, as in slim images', async () => {
    const bin = join(folder.path, 'bin');
    mkdirSync(bin);
    const folders = [dirname(process.execPath), ...(process.env['PATH'] ?? '').split(':')];
    for (const name of ['node', 'npm', 'sh', 'xargs', 'echo']) {
      const found = folders.map((path) => join(path, name)).find((file) => existsSync(file));
      symlinkSync(found ?? `there is no ${name}`, join(bin, name));
    }

    const { code, said } = await folder.s(['deploy', '-y', '--env', 'prd'], {
      ...SAMPLE_VARIABLES,
      PATH: bin,
    });

    expect([code, folder.asked()]).toEqual([101, []]);
    expect(said).toContain('there is no environment "prd"; did you mean "prod"?');
  });

  it('reads variables from a file .env, and the credentials that are asked for', async () => {
    const { TAIRLIFT_BUCKET, TAIRLIFT_CONTACT_GROUP, AccountID, AccessKeyID, AccessKeySecret } =
      SAMPLE_VARIABLES;
    const env = `TAIRLIFT_BUCKET=${TAIRLIFT_BUCKET}\nTAIRLIFT_CONTACT_GROUP=${TAIRLIFT_CONTACT_GROUP}\n`;
    writeFileSync(join(folder.path, '.env'), env);
    const key = JSON.stringify({ AccountID, AccessKeyID, AccessKeySecret });

    const { code, said } = await folder.s(['deploy', '-y', '--env', 'dev', '-a', 'X_serverless_devs_key'], {
      X_serverless_devs_key: key,
    });

    expect([code, said]).toEqual([0, expect.not.stringContaining('no credentials')]);
    expect(folder.asked()).toHaveLength(3);
  });

  it('stops where a resource fails, and goes on with the same names', async () => {
    const failing = { ...SAMPLE_VARIABLES, TAIRLIFT_FAILS: 'orchestrator' };
    const { code } = await folder.s(['deploy', '-y', '--env', 'prod'], failing);
    expect(code).toBe(101);
    expect(folder.asked().map(({ resource }) => resource)).toEqual(['infra', 'orchestrator']);

    expect((await folder.s(['deploy', '-y', '--env', 'prod'], SAMPLE_VARIABLES)).code).toBe(0);
    expect(folder.asked().map(({ resource }) => resource)).toEqual(['infra', 'orchestrator', 'uploader']);
  });
});

describe('s remove', () => {
  it('goes in the order of deployment, or by name, and needs no variables', async () => {
    const { AccountID, AccessKeyID, AccessKeySecret } = SAMPLE_VARIABLES;
    const credentials = { AccountID, AccessKeyID, AccessKeySecret };

    expect((await folder.s(['remove', '-y', '--env', 'prod'], credentials)).code).toBe(0);
    expect(folder.asked().map(({ command, resource }) => `${command} ${resource}`)).toEqual([
      'remove infra',
      'remove orchestrator',
      'remove uploader',
    ]);
    expect((await folder.s(['uploader', 'remove', '-y', '--env', 'prod'], credentials)).code).toBe(0);
    expect(folder.asked().map(({ props }) => props['functionName'])).toEqual(['tairlift-prod-uploader']);
  });
});

describe('s remove of an environment that there is not', () => {
  it('removes nothing, and neither does it of another', async () => {
    for (const args of [['remove'], ['orchestrator', 'remove']]) {
      const { code, said } = await folder.s([...args, '-y', '--env', 'prd'], SAMPLE_VARIABLES);

      expect([code, folder.asked()]).toEqual([101, []]);
      expect(said).toContain('there is no environment "prd"; did you mean "prod"?');
    }
  });
});

describe('npm run check:deploy', () => {
  it('needs no variables, and looks at no one’s', async () => {
    writeFileSync(join(folder.path, '.env'), 'TAIRLIFT_STAGE=Nonsense\n');

    const { code, said } = await folder.check([], { TAIRLIFT_REGION: 'nowhere' });
    expect([code, said.trim()]).toEqual([0, '']);
  });

  it('says where it is wrong, in which environment, and what to do', async () => {
    folder.edit('env.yaml', "LogDays: '90'", "LogDays: '0'");
    folder.edit('s.yaml', 'cpu: 0.5', 'cpu: 0.55');

    const { code, said } = await folder.check([]);
    expect(code).toBe(1);
    const lines = said.trim().split('\n');
    expect(lines).toHaveLength(2);
    expect(lines).toContainEqual(
      expect.stringMatching(/^error: uploader.cpu: 0.55 vCPU and 512 MB do not go together: /),
    );
    expect(lines).toContainEqual(
      'error: prod: infra.parameters.LogDays: "0" is not allowed: at least 1; correct infra.parameters.LogDays in s.yaml or env.yaml',
    );
  });

  it('prints one JSON document', async () => {
    folder.edit('s.yaml', 'cpu: 0.5', 'cpu: 0.55');

    const { code, said } = await folder.check(['--json', '--command-line', 'node s deploy -y --env=prod']);
    expect(code).toBe(1);
    expect(JSON.parse(said)).toEqual({
      ok: false,
      findings: [
        {
          level: 'error',
          rule: 'size',
          at: 'uploader.cpu',
          environments: [],
          message: expect.stringContaining('choose 0.15 to 0.5 vCPU') as unknown,
        },
      ],
    });
  });

  it('names what lies over nothing in env.yaml', async () => {
    folder.edit('env.yaml', 'uploader:', 'uplaoder:');

    const { code, said } = await folder.check([]);
    expect([code, said]).toEqual([1, expect.stringContaining('"uplaoder" lies over nothing that there is')]);
  });

  it('names what cannot be rendered', async () => {
    folder.edit('s.yaml', '${vars.region}', '${vars.regoin}');

    const { code, said } = await folder.check([]);
    expect([code, said]).toEqual([
      1,
      expect.stringMatching(/^\s*error: s.yaml: render s.yaml: .*vars.regoin/),
    ]);
  });

  it('names files that are missing or no use', async () => {
    rmSync(join(folder.path, 'infra'));
    const missing = await folder.check([]);
    mkdirSync(join(folder.path, 'infra'));
    writeFileSync(join(folder.path, 'infra', 'template.json'), '{}');
    const useless = await folder.check(['--json']);

    expect(missing).toMatchObject({
      code: 1,
      said: expect.stringContaining(
        'there is no infra/template.json; make it with `npm run synth`',
      ) as unknown,
    });
    expect([useless.code, JSON.parse(useless.said)]).toEqual([
      1,
      { ok: false, error: 'infra/template.json is no template; make it with `npm run synth`' },
    ]);
  });

  it('takes the account of the functions’ roles, not that of a source account', async () => {
    const { code, said } = await folder.check(['--strict', '--command-line', 'node s deploy --env prod'], {
      ...SAMPLE_VARIABLES,
      TAIRLIFT_SOURCE_ROLES: 'acs:ram::2222222222222222:role/tairlift-source',
    });

    expect([code, said.trim()]).toEqual([0, expect.stringMatching(/^warning: .*no plan assumes [^\n]*$/)]);
  });

  it('names an account that is none', async () => {
    const { code, said } = await folder.check(['--strict', '--command-line', 'node s deploy --env prod'], {
      ...SAMPLE_VARIABLES,
      AccountID: 'acme',
    });

    expect([code, said.trim()]).toEqual([
      1,
      expect.stringMatching(/^error: s.yaml: the account of the credentials is "acme", [^\n]* AccountID$/),
    ]);
  });

  it.each([
    ['no', 1],
    ['False', 1],
    ['true', 0],
  ])('knows whether TAIRLIFT_INTERNET=%s can be', async (TAIRLIFT_INTERNET, expected) => {
    const { code, said } = await folder.check(['--strict', '--command-line', 'node s deploy --env prod'], {
      ...SAMPLE_VARIABLES,
      TAIRLIFT_INTERNET,
    });

    expect([code, said.trim()]).toEqual([
      expected,
      expected === 0
        ? ''
        : expect.stringContaining(
            `uploader.internetAccess: "${TAIRLIFT_INTERNET}" is no boolean; correct it`,
          ),
    ]);
  });

  it('names what is deployed in the place of what is checked', async () => {
    const { code, said } = await folder.check(['--command-line', 'node s deploy -t other.yaml --env prod']);
    expect([code, said]).toEqual([
      1,
      expect.stringContaining('other.yaml: it would be deployed, and s.yaml is what is checked'),
    ]);
  });

  it('is deployed without credentials by nobody, but says what it could not look at', async () => {
    const { TAIRLIFT_BUCKET, TAIRLIFT_CONTACT_GROUP } = SAMPLE_VARIABLES;
    const { code, said } = await folder.check(['--strict'], { TAIRLIFT_BUCKET, TAIRLIFT_CONTACT_GROUP });

    expect(code).toBe(0);
    expect(said.trim()).toBe(
      'warning: s.yaml: no credentials were found, so names were checked with a made-up account; set them up with `npx s config add`',
    );
  });

  it('knows wrong usage', async () => {
    const { code, said } = await folder.check(['--stict']);
    expect([code, said]).toEqual([2, expect.stringContaining('--stict')]);
  });
});
