export { crcFold, crcLookUp, crcWindow, crcWindowBytes } from './crc64';
export { copyBlock, copyBlockBytes, freeMemory } from './memory';
