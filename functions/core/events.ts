/** What tairlift tells the outside when a run did not end well, so that an alarm can be set on it. */

/** Alarm rules name these: they stay as they are. */
export type OwnEventName = 'tairlift:run-failed' | 'tairlift:run-partial';

export interface OwnEvent {
  readonly name: OwnEventName;
  /** For the person who is woken up, and for rules that look for words in it. Holds no secret; at most 1,000 characters. */
  readonly content: string;
  /** Milliseconds since 1970. */
  readonly atMs: number;
}

export interface Events {
  /**
   * Raises one event. Called twice it alarms twice, and so may a call that failed without an answer. Takes a few
   * seconds at most, or until the signal aborts.
   * @throws BackupError when it is not known to be raised; nothing else may depend on it
   */
  raise(event: OwnEvent, signal: AbortSignal): Promise<void>;
}
