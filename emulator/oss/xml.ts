/** The little XML that OSS speaks. */
import { XMLParser } from 'fast-xml-parser';
import type { Reply } from '../http.ts';
import { OssError } from './oss-error.ts';

/** What an element holds: text, children in order, or the same element several times. `undefined` is left out. */
export type XmlContent =
  | string
  | number
  | boolean
  | undefined
  | readonly XmlContent[]
  | { readonly [name: string]: XmlContent };

export function xmlDocument(root: string, content: XmlContent): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element(root, content)}`;
}

export function xmlReply(root: string, content: XmlContent): Reply {
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: xmlDocument(root, content) };
}

function element(name: string, content: XmlContent): string {
  if (content === undefined) return '';
  if (isList(content)) return content.map((item) => element(name, item)).join('');
  const inner =
    typeof content === 'object'
      ? Object.entries(content)
          .map(([child, value]) => element(child, value))
          .join('')
      : escape(String(content));
  return `<${name}>${inner}</${name}>`;
}

const isList = (content: XmlContent): content is readonly XmlContent[] => Array.isArray(content);

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

function escape(text: string): string {
  return text.replaceAll(
    // Control characters cannot be written in XML 1.0; as references most parsers still take them.
    // eslint-disable-next-line no-control-regex
    /[&<>"\u0000-\u0008\u000b-\u001f]/g,
    (character) => ENTITIES[character] ?? `&#${character.charCodeAt(0)};`,
  );
}

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: true,
  isArray: (name) => name === 'Part' || name === 'Tag' || name === 'Object',
});

/** The children of the document's root, which must be called `root`. Throws MalformedXML. */
export function parseXml(root: string, text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = parser.parse(text, true);
  } catch {
    throw malformed();
  }
  const content = child(parsed, root);
  if (content === '') return {};
  if (!isRecord(content)) throw malformed();
  return content;
}

/** A child element's text, or undefined when there is no such text. */
export function textOf(parent: unknown, name: string): string | undefined {
  const value = child(parent, name);
  return typeof value === 'string' ? value : undefined;
}

export function listOf(parent: unknown, name: string): readonly unknown[] {
  const value = child(parent, name);
  return Array.isArray(value) ? value : [];
}

export function child(parent: unknown, name: string): unknown {
  return isRecord(parent) ? parent[name] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const malformed = (): OssError =>
  new OssError(
    400,
    'MalformedXML',
    'The XML you provided was not well-formed or did not validate against our published schema.',
  );
