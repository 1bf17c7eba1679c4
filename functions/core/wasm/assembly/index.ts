export { crcFold, crcLookUp, crcWindow, crcWindowBytes } from './crc64';
export { keysTaken, takeKeys } from './keys';
export { copyBlock, copyBlockBytes, ownBytes, windowBlock, windowBlockBytes } from './memory';
export { hashBlocks, hashFinish, hashLanes, hashResult } from './murmur';
export { comparesKeys, elementAddRow, elementsBegin, keyAddRow, keysForget, keysStop, keysTable, keysTableBytes } from './seen';
export { elementsTaken, takeElements } from './parts';
export { slotsCount, slotsForget, slotsSeen } from './slots';
export { textBegin, textEnd, textPiece, textState, textStateBytes } from './xxh64';
