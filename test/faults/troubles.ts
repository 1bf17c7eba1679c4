/** What can happen to one exchange on the wire. */
import { setTimeout as sleepFor } from 'node:timers/promises';
import { answerWith, encodeAnswer, encodeHead, type Trouble, type WireAnswer } from '../doubles/wire.ts';
import type { Random } from './random.ts';

/** What can happen to any call. */
export interface Mishap {
  /** As in "the completion …". */
  readonly name: string;
  readonly trouble: (random: Random) => Trouble;
  /** A call in the middle of retries meets it so often at most. */
  readonly mostTimes: number;
}

/** Nothing is done, the connection breaks. */
export const reset: Trouble = async (exchange) => exchange.reset();

/** Nothing is done and nothing is said. */
export const silence: Trouble = async (exchange) => exchange.gone;

/** It is done, and the connection breaks in the place of an answer. */
export const loseAnswer: Trouble = async (exchange) => {
  await exchange.ask();
  exchange.reset();
};

/** It is done, and the answer never comes. */
export const withholdAnswer: Trouble = async (exchange) => {
  await exchange.ask();
  await exchange.gone;
};

/** So many bytes of the request's body arrive, then the connection breaks. */
export function resetRequest(afterBytes: number): Trouble {
  return async (exchange) => {
    await exchange.receive(afterBytes);
    exchange.reset();
  };
}

/** So many bytes of the request's body are taken, and no more. */
export function stopReading(afterBytes: number): Trouble {
  return async (exchange) => {
    await exchange.receive(afterBytes);
    await exchange.gone;
  };
}

/** The body is taken slowly: a piece, a pause, a piece. */
export function readSlowly(pieceBytes: number, pauseMs: number, pieces: number): Trouble {
  return async (exchange) => {
    for (let piece = 1; piece <= pieces; piece++) {
      await exchange.receive(piece * pieceBytes);
      await sleepFor(pauseMs);
    }
    await answerWith(exchange, await exchange.ask());
  };
}

/** One bit of the request's body arrives altered. */
export function flipRequest(atByte: number): Trouble {
  return async (exchange) => {
    const body = await exchange.receive();
    await answerWith(exchange, await exchange.ask(flipped(body, atByte)));
  };
}

/** The request is carried out twice; the second answer is the one that is seen. */
export const carryOutTwice: Trouble = async (exchange) => {
  await exchange.ask();
  await answerWith(exchange, await exchange.ask());
};

/** The answer breaks off after so many bytes, head and body counted together; in order, or by a reset. */
export function cutAnswer(afterBytes: number, how: 'reset' | 'end'): Trouble {
  return async (exchange) => {
    await exchange.send(encodeAnswer(await exchange.ask()).subarray(0, afterBytes));
    // What was written must leave before a reset may overtake it.
    await sleepFor(20);
    if (how === 'reset') exchange.reset();
    else exchange.hangUp();
  };
}

/** … after so many bytes of the body. */
export function cutBody(afterBytes: number, how: 'reset' | 'end'): Trouble {
  return async (exchange) => {
    const answer = await exchange.ask();
    await exchange.send(Buffer.concat([encodeHead(answer), answer.body.subarray(0, afterBytes)]));
    await sleepFor(20);
    if (how === 'reset') exchange.reset();
    else exchange.hangUp();
  };
}

/** Silence after so many bytes of the body. */
export function stallBody(afterBytes: number): Trouble {
  return async (exchange) => {
    const answer = await exchange.ask();
    await exchange.send(Buffer.concat([encodeHead(answer), answer.body.subarray(0, afterBytes)]));
    await exchange.gone;
  };
}

/** The answer comes in pieces of this size with pauses between them, and then at once. */
export function drip(pieceBytes: number, pauseMs: number, pieces: number): Trouble {
  return async (exchange) => {
    const bytes = encodeAnswer(await exchange.ask());
    for (let piece = 0; piece < pieces && !exchange.isGone(); piece++) {
      await exchange.send(bytes.subarray(piece * pieceBytes, (piece + 1) * pieceBytes));
      await sleepFor(pauseMs);
    }
    await exchange.send(bytes.subarray(pieces * pieceBytes));
  };
}

/**
 * A link that carries one answer after the other, so many bytes at a time; those that wait for their turn get enough
 * not to be given up. To be used for all answers of a case.
 */
export function slowLink(bytesAtATime: number): Trouble {
  let last = Promise.resolve();
  return async (exchange) => {
    // Who asks first is answered first.
    const before = last;
    let isTurn = false;
    let pass = (): void => undefined;
    last = new Promise((resolve) => (pass = resolve));
    void before.then(() => (isTurn = true));
    void exchange.gone.then(async () => before).then(() => pass());
    const answer = await exchange.ask();
    await exchange.send(encodeHead(answer));
    for (let at = 0; at < answer.body.length && !exchange.isGone();) {
      const bytes = isTurn ? bytesAtATime : WAITING_BYTES;
      await exchange.send(answer.body.subarray(at, at + bytes));
      at += bytes;
      await sleepFor(LINK_PAUSE_MS);
    }
    await before;
    pass();
  };
}

const WAITING_BYTES = 1_000;
const LINK_PAUSE_MS = 100;

/** The service's answer, altered. */
export function altered(change: (answer: WireAnswer) => WireAnswer): Trouble {
  return async (exchange) => answerWith(exchange, change(await exchange.ask()));
}

/** Answers with exactly these bytes after reading the request; nothing is done. Then the connection ends. */
export function answerRaw(bytes: Buffer | string): Trouble {
  return async (exchange) => {
    await exchange.receive();
    await exchange.send(bytes);
    exchange.hangUp();
  };
}

/** Answers in the place of the service; nothing is done. */
export function reply(status: number, body: string, headers: Readonly<Record<string, string>> = {}): Trouble {
  return async (exchange) => {
    await exchange.receive();
    const content = exchange.request.method === 'HEAD' ? '' : body;
    await answerWith(exchange, answerOf(status, content, headers));
  };
}

/** As OSS refuses. */
export function refuse(
  status: number,
  code: string,
  headers: Readonly<Record<string, string>> = {},
  message = 'The request fails as scripted.',
): Trouble {
  const document = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${message}</Message><RequestId>WIRE</RequestId></Error>`;
  return reply(status, document, {
    server: 'AliyunOSS',
    'x-oss-request-id': 'WIRE',
    'x-oss-err': Buffer.from(document).toString('base64'),
    'content-type': 'application/xml',
    ...headers,
  });
}

export const PAGE = '<html><body><h1>Please log in</h1></body></html>';

/** A page of something between the function and the service. */
export function page(status: number): Trouble {
  return reply(status, PAGE, { 'content-type': 'text/html' });
}

export function answerOf(
  status: number,
  body: Buffer | string,
  headers: Readonly<Record<string, string>> = {},
): WireAnswer {
  const content = Buffer.from(body);
  return {
    status,
    reason: 'Scripted',
    headers: Object.entries({ 'content-length': String(content.length), ...headers }),
    body: content,
  };
}

/** The same answer with these headers; an empty value takes one away. */
export function withHeaders(answer: WireAnswer, change: Readonly<Record<string, string>>): WireAnswer {
  const others = answer.headers.filter(([name]) => change[name.toLowerCase()] === undefined);
  return { ...answer, headers: [...others, ...Object.entries(change).filter(([, value]) => value !== '')] };
}

/** The same bytes but for one bit; `atByte` counts modulo their number. */
export function flipped(bytes: Buffer, atByte: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = atByte % copy.length;
  copy.writeUInt8(copy.readUInt8(at) ^ 1, at);
  return copy;
}
