export { crcFold, crcLookUp, crcWindow, crcWindowBytes } from './crc64';
export { copyBlock, copyBlockBytes } from './memory';
export { hashBlocks, hashFinish, hashLanes, hashResult } from './murmur';
export { textBegin, textEnd, textPiece, textState, textStateBytes } from './xxh64';
