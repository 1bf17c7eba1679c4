/** The template, made without a network and the same each time. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as ros from '@alicloud/ros-cdk-core';
import { TairliftStack } from './stack.ts';

/** As it stands in `infra/template.json`. */
export function synthesize(): string {
  // Without a folder of its own the library leaves one behind at each call.
  const outdir = mkdtempSync(join(tmpdir(), 'tairlift-synth-'));
  try {
    const app = new ros.App({ outdir });
    new TairliftStack(app, 'tairlift');
    const { template } = app.synth().getStackByName('tairlift');
    return `${JSON.stringify(template, undefined, 2)}\n`;
  } finally {
    rmSync(outdir, { recursive: true, force: true });
  }
}
