import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What travels in each bundle. A new package, also one that a package brings along, is a decision: it is listed here
 * or it is not there.
 */
const SHARED = `
@alicloud/credentials @alicloud/gateway-spi @alicloud/openapi-core @alicloud/r-kvstore20150101
@alicloud/tea-typescript @darabonba/typescript @tootallnate/once address agent-base agentkeepalive
ali-oss any-promise async-function async-generator-function bowser call-bind-apply-helpers
call-bound copy-to core-util-is dateformat debug dunder-proto end-of-stream es-define-property
es-errors es-object-atoms escape-html extend-shallow function-bind generator-function get-intrinsic
get-proto get-ready gopd graceful-fs has-flag has-symbols hasown http-proxy-agent https-proxy-agent
httpx humanize-ms ini ip-address is-class-hotfix is-extendable is-type-of isstream js-base64 jstoxml
kitx lodash math-intrinsics merge-descriptors mime mkdirp moment ms mz object-inspect once p-limit
platform pump qs sax sdk-base side-channel side-channel-list side-channel-map side-channel-weakmap
smart-buffer socks socks-proxy-agent stream-wormhole supports-color thenify thenify-all unescape
urllib utility wrappy ws xml2js xmlbuilder yocto-queue zod
`;
const ONLY: Readonly<Record<string, string>> = {
  orchestrator:
    '@alicloud/fc2 @alicloud/fc20230330 axios babel-runtime fastest-levenshtein follow-redirects regenerator-runtime yaml',
  uploader: '',
};
/** Cold starts read and compile all of it. Today's sizes and a tenth more. */
const MAX_BYTES: Readonly<Record<string, number>> = { orchestrator: 3_450_000, uploader: 2_700_000 };

const DIST = join(__dirname, '..', 'dist');

interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

function packagesOf(name: string): string[] {
  const { outputs } = JSON.parse(readFileSync(join(DIST, name, 'meta.json'), 'utf8')) as Metafile; // written by esbuild
  const packages = new Set<string>();
  for (const { inputs } of Object.values(outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
      const match = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path);
      if (match?.[1] !== undefined && bytesInOutput > 0) packages.add(match[1]);
    }
  }
  return [...packages].sort();
}

describe.each(['orchestrator', 'uploader'])('the bundle of the %s', (name) => {
  it('holds exactly the packages that are listed', () => {
    const listed = `${SHARED} ${ONLY[name] ?? ''}`.split(/\s+/).filter((item) => item !== '');
    expect(packagesOf(name)).toEqual(listed.sort());
  });

  it('is not larger than it should be', () => {
    expect(statSync(join(DIST, name, 'index.js')).size).toBeLessThan(MAX_BYTES[name] ?? 0);
  });

  it('exports a handler of two parameters, as the platform calls it', async () => {
    const loaded = (await import(join(DIST, name, 'index.js'))) as { handler?: unknown };
    expect(loaded.handler).toBeInstanceOf(Function);
    expect(loaded.handler).toHaveLength(2);
  });

  it('carries the plans beside it', () => {
    expect(readFileSync(join(DIST, name, 'plans.yaml'), 'utf8')).toContain('plans:');
  });
});
