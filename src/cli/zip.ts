import { crc32, deflateRawSync } from "node:zlib";

export interface ZipEntry {
  /** With `/` between its parts. */
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * A zip archive of files that everybody may read, as Lambda wants it. The same entries give the same bytes: nothing in
 * it says when or by whom it was made.
 */
export function zipOf(entries: readonly ZipEntry[]): Buffer {
  const files: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const { name, content } of entries) {
    const packed = deflateRawSync(content, { level: 9 });
    const path = Buffer.from(name);
    const common = commonHeader(content, packed.byteLength, path.byteLength);
    const file = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), common, path, packed]);
    files.push(file);
    directory.push(Buffer.concat([directoryStart, common, directoryEnd(offset), path]));
    offset += file.byteLength;
  }
  const list = Buffer.concat(directory);
  return Buffer.concat([...files, list, endRecord(entries.length, list.byteLength, offset)]);
}

/** Midnight of 1980-01-01, the first instant that a zip can tell. */
const firstDay = 0x21;
const needsVersion = 20;
const deflated = 8;
const namesAreUtf8 = 0x800;

/** What an entry says of itself before its content, and again in the directory. */
function commonHeader(content: Uint8Array, packedBytes: number, nameBytes: number): Buffer {
  const header = Buffer.alloc(26);
  header.writeUInt16LE(needsVersion, 0);
  header.writeUInt16LE(namesAreUtf8, 2);
  header.writeUInt16LE(deflated, 4);
  header.writeUInt16LE(firstDay, 8);
  header.writeUInt32LE(crc32(content), 10);
  header.writeUInt32LE(packedBytes, 14);
  header.writeUInt32LE(content.byteLength, 18);
  header.writeUInt16LE(nameBytes, 22);
  return header;
}

/** Made on a Unix, or the permissions would mean nothing. */
const directoryStart = Buffer.from([0x50, 0x4b, 0x01, 0x02, needsVersion, 3]);

function directoryEnd(offset: number): Buffer {
  const end = Buffer.alloc(14);
  end.writeUInt32LE((0o100644 << 16) >>> 0, 6);
  end.writeUInt32LE(offset, 10);
  return end;
}

function endRecord(count: number, listBytes: number, listOffset: number): Buffer {
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(listBytes, 12);
  end.writeUInt32LE(listOffset, 16);
  return end;
}
