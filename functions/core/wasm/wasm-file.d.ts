/** What a bundle or a test makes of an imported file of WebAssembly: its bytes. */
declare module '*.wasm' {
  const bytes: Uint8Array<ArrayBuffer>;
  export = bytes;
}
