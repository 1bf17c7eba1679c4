/**
 * What keeps a function's bundle small. The SDKs load all that they know as soon as they are loaded: some 800 classes,
 * every kind of credentials, sockets, proxies, the world's media types; a function calls a dozen of their methods. All
 * of it would be most of a cold start, and tens of megabytes for as long as the function lives.
 *
 * Nothing that runs is changed: it is loaded later, or left out. Each place fails the build when an SDK no longer looks
 * as it expects, and test/bundles.test.ts holds what comes of it.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** For every bundle: what a package of the vendor imports is loaded when it is first named. */
export function lateImports() {
  return {
    name: 'late-imports',
    setup({ onLoad }) {
      onLoad({ filter: VENDOR }, ({ path }) => ({ contents: importLate(readFileSync(path, 'utf8'), path) }));
    },
  };
}

/** For the functions: late as well, and without what they never call. */
export function onlyWhatIsCalled() {
  return {
    name: 'only-what-is-called',
    setup({ onLoad, onResolve, onEnd, resolve }) {
      const emptied = new Set();
      onLoad({ filter: /[\\/]node_modules[\\/].+\.js$/ }, ({ path }) => {
        const file = inPackages(path);
        if (Object.hasOwn(NEVER_CALLED, file)) {
          emptied.add(file);
          return { contents: NEVER_CALLED[file] };
        }
        if (!VENDOR.test(path)) return undefined;
        const called = onlyCalledMethods(onlyNamedModels(readFileSync(path, 'utf8'), path), file);
        return { contents: importLate(called, path) };
      });
      // Both say nowhere that loading them does nothing else; a function that reads no plans needs neither.
      onResolve({ filter: /^(yaml|fastest-levenshtein)$/ }, async ({ path, pluginData, ...options }) => {
        if (pluginData === 'resolving') return undefined;
        return { ...(await resolve(path, { ...options, pluginData: 'resolving' })), sideEffects: false };
      });
      onEnd(({ errors }) => {
        const missing = Object.keys(NEVER_CALLED).filter((file) => !emptied.has(file));
        if (errors.length === 0 && missing.length > 0)
          throw changed(missing.join(', '), 'they are not loaded');
      });
    },
  };
}

/** Compiled from TypeScript, all in the same way. */
const VENDOR = /[\\/]node_modules[\\/]@(alicloud|darabonba)[\\/].+\.js$/;

const NOTHING = 'module.exports = {};';

/**
 * Files that are loaded and never called, and what stands in their place. A method that is called after all is not
 * there, and that is an error.
 */
const NEVER_CALLED = {
  // ali-oss's own HTTP, whose place ours takes in every call, with its tables of character sets.
  'urllib/lib/index.js': NOTHING,
  'agentkeepalive/index.js': 'module.exports = class {}; module.exports.HttpsAgent = class {};',
  // Calls of OSS that back nothing up.
  'ali-oss/lib/bucket.js': NOTHING,
  'ali-oss/lib/cluster.js': 'module.exports = () => undefined;',
  'ali-oss/lib/image.js': 'module.exports = () => undefined;',
  'ali-oss/lib/rtmp.js': NOTHING,
  'ali-oss/lib/sts.js': NOTHING,
  'ali-oss/lib/common/bucket/index.js': NOTHING,
  'ali-oss/lib/common/image/index.js': NOTHING,
  'ali-oss/lib/common/multipart-copy.js': NOTHING,
  ...Object.fromEntries(
    `asyncSignatureUrl calculatePostSignature copyObject delete deleteMulti deleteObjectTagging generateObjectUrl
    getACL getAsyncFetch getBucketVersions getObjectMeta getObjectTagging getObjectUrl getSymlink postAsyncFetch
    putACL putObjectTagging putSymlink signPostObjectPolicyV4`
      .split(/\s+/)
      .map((name) => [`ali-oss/lib/common/object/${name}.js`, NOTHING]),
  ),
  // Which browser is this? Media types that are no standard, files of JSON, queries that are read, XML that is written.
  'bowser/src/bowser.js': NOTHING,
  'platform/platform.js': NOTHING,
  'mime/types/other.js': NOTHING,
  'utility/json.js': NOTHING,
  'qs/lib/parse.js': NOTHING,
  'xml2js/lib/builder.js': NOTHING,
  // A map by identity, for engines that have none.
  'side-channel/index.js': 'module.exports = () => new Map();',
  // Logs requests with their signatures, when a variable says so.
  'debug/src/index.js': 'module.exports = () => () => undefined;',
  // Calls over web sockets and three kinds of proxies; dates; merged objects.
  '@alicloud/openapi-core/dist/websocketUtils/index.js': NOTHING,
  '@darabonba/typescript/dist/websocket.js': NOTHING,
  'moment/moment.js': NOTHING,
  'lodash/lodash.js': NOTHING,
};

/** The signatures of older services, streams of events. */
const NEVER_CALLED_METHODS = {
  '@alicloud/openapi-core/dist/client.js': [
    'callSSEApi',
    'doROARequest',
    'doROARequestWithForm',
    'doRPCRequest',
    'execute',
  ],
};

/** `/…/node_modules/a/node_modules/b/c.js` -> `b/c.js` */
function inPackages(path) {
  return path.replaceAll('\\', '/').replace(/^.*\/node_modules\//, '');
}

/** A method of a class as TypeScript writes it. */
const METHOD = /^ {4}(?:async )?\*?(\w+)\(.*\) \{\n[\s\S]*?^ {4}\}\n/gm;

function onlyCalledMethods(text, file) {
  const left = new Set(NEVER_CALLED_METHODS[file] ?? []);
  const called = text.replaceAll(METHOD, (method, name) => (left.delete(name) ? '' : method));
  if (left.size > 0) throw changed(file, `it has no ${[...left].join(', ')}`);
  return called;
}

/** The vendor's methods and classes that our own code names are among these words. */
const OURS = 'functions/core/aliyun';
const OUR_WORDS = new Set(
  readdirSync(OURS).flatMap((file) => readFileSync(join(OURS, file), 'utf8').match(/\w+/g) ?? []),
);

/** An API's client with the methods that our code names; its list of classes, with those that either names. */
function onlyNamedModels(text, path) {
  const isClient = /[\\/]dist[\\/]client\.js$/.test(path);
  if (!isClient && !/[\\/]dist[\\/]models[\\/]model\.js$/.test(path)) return text;
  const client = isClient ? text : readFileSync(join(dirname(path), '..', 'client.js'), 'utf8');
  if (!client.includes('class Client extends openapi_core_1.default {')) return text;

  const isNamed = (name) => ['constructor', 'getEndpoint'].includes(name) || OUR_WORDS.has(name);
  const called = client.replaceAll(METHOD, (method, name) => (isNamed(name) ? method : ''));
  const kept = isClient
    ? called
    : text
        .replaceAll(/^exports\..* = void 0;$/gm, '')
        .replaceAll(/^Object\.defineProperty\(exports, "(\w+)", .*\);$/gm, (model, name) =>
          isNamed(name) || called.includes(`$_model.${name}(`) ? model : '',
        );
  const hasAll = /^ {4}constructor\(/m.test(called) && /^ {4}getEndpoint\(/m.test(called);
  if (!hasAll || kept.length > text.length / 2) throw changed(path, 'its methods and classes were not found');
  return kept;
}

/**
 * An import at the top, `const name_1 = __importDefault(require("./name"))`, goes; each `name_1` becomes its right-hand
 * side, and `exports.Name = name_1.default` a getter. A bundle keeps what it has loaded: only the first one loads.
 */
function importLate(text, path) {
  const loads = new Map();
  const late = text
    .replaceAll(
      /^(?:const|var) (\w+_\d+|\$\w+) = ((?:__import\w+\()?require\("[^"]+"\)\)?);$/gm,
      (_import, name, load) => {
        loads.set(name, `(${load})`); // `new` takes the first call that it meets
        return '';
      },
    )
    .replaceAll(/^exports\.(\w+) = (\w+)\.default;$/gm, (whole, name, from) =>
      loads.has(from)
        ? `Object.defineProperty(exports, "${name}", { enumerable: true, get: () => ${from}.default });`
        : whole,
    )
    .replaceAll(/(?<![\w$.])[\w$]+(?![\w$])/g, (word) => loads.get(word) ?? word);
  if (loads.size === 0 && /[\\/]dist[\\/]client\.js$/.test(path))
    throw changed(path, 'its imports were not found');
  return late;
}

function changed(what, how) {
  return new Error(`bundle ${what}: the shape has changed, ${how}; see scripts/slim.mjs`);
}
