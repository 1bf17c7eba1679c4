/** The results in the docs: the figures, the plots made of them, and the tables between two marks of a page. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { plotGrowth } from './plots.ts';
import type { Results } from './results.ts';
import { toMarkdown } from './tables.ts';

const MARKS = { begin: '<!-- begin: written by the bench -->', end: '<!-- end: written by the bench -->' };

/** @param folder holds a bench.md with the marks */
export async function renewDocs(folder: string, results: Results): Promise<void> {
  await mkdir(join(folder, 'bench'), { recursive: true });
  await writeFile(join(folder, 'bench', 'results.json'), toJson(results));
  for (const [name, plot] of Object.entries(toPlots(results)))
    await writeFile(join(folder, 'bench', name), plot);
  const page = join(folder, 'bench.md');
  await writeFile(page, replaceMarked(await readFile(page, 'utf8'), results));
}

export function toJson(results: Results): string {
  return `${JSON.stringify(results, undefined, 2)}\n`;
}

/** By file name. */
export function toPlots({ bySize, byFiles }: Results): Readonly<Record<string, string>> {
  return {
    'by-size.svg': plotGrowth(bySize, 'size of the file', ({ bytes }) => {
      const mib = Math.round(bytes / 1024 ** 2);
      return { x: mib, xText: mib < 1024 ? `${mib} MiB` : `${mib / 1024} GiB` };
    }),
    'by-files.svg': plotGrowth(byFiles, 'number of files, the same bytes', ({ files }) => ({
      x: files,
      xText: `${files}`,
    })),
  };
}

/** The page with the tables of these results between its marks. Throws when it has none. */
export function replaceMarked(page: string, results: Results): string {
  const begin = page.indexOf(MARKS.begin);
  const end = page.indexOf(MARKS.end);
  if (begin < 0 || end < begin)
    throw new Error(`renew the docs: the page has no marks such as ${MARKS.begin}`);
  return `${page.slice(0, begin + MARKS.begin.length)}\n\n${toMarkdown(results)}\n\n${page.slice(end)}`;
}
