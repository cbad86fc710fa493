import type { AttachmentDraft } from "../../api/types.ts";
import { t } from "../../i18n/index.ts";
import { bytes } from "../../text/format.ts";

export const MOST_FILES = 8;
/** Characters of all attachments together: what the daemon takes in one message, with room for the text. */
export const MOST_CHARS = 900_000;
const LONGEST_SIDE = 1568; // beyond it models scale an image down themselves
const AS_THEY_ARE = new Set(["image/png", "image/jpeg", "image/gif", "image/webp"]);
const SMALL = 300_000;

/** What is wrong with a file, as a sentence for the reader. */
export class Unfit extends Error {}

/** A file as it is sent along: text as text, an image small enough for a model. Throws `Unfit`. */
export async function attachmentOf(file: File): Promise<AttachmentDraft> {
  if (file.type.startsWith("image/") && file.type !== "image/svg+xml") return image(file);
  if (file.size > MOST_CHARS) throw new Unfit(t("session:attach.large", { name: file.name, size: bytes(file.size), most: bytes(MOST_CHARS) }));
  try {
    const data = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    if (!data.includes("\0")) return { name: file.name, type: "text/plain", data };
  } catch {
    // Not text: said below.
  }
  throw new Unfit(t("session:attach.binary", { name: file.name }));
}

async function image(file: File): Promise<AttachmentDraft> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (bitmap === null) throw new Unfit(t("session:attach.unreadable", { name: file.name }));
  const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size <= SMALL && AS_THEY_ARE.has(file.type)) return { name: file.name, type: file.type, data: await base64(file) };
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const small = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
  return { name: file.name, type: "image/jpeg", data: await base64(small) };
}

async function base64(blob: Blob): Promise<string> {
  const data = new Uint8Array(await blob.arrayBuffer());
  let binary = "";
  for (let at = 0; at < data.length; at += 8192) binary += String.fromCharCode(...data.subarray(at, at + 8192));
  return btoa(binary);
}

/** Adds files to those that are there: what fits, and a sentence for each that does not. */
export async function withFiles(held: readonly AttachmentDraft[], files: readonly File[]): Promise<{ all: AttachmentDraft[]; refused: string[] }> {
  const all = [...held];
  const refused: string[] = [];
  for (const file of files) {
    try {
      if (all.length >= MOST_FILES) throw new Unfit(t("session:attach.many", { count: MOST_FILES }));
      const made = await attachmentOf(file);
      const size = [...all, made].reduce((sum, { data }) => sum + data.length, 0);
      if (size > MOST_CHARS) throw new Unfit(t("session:attach.together", { name: file.name, most: bytes(MOST_CHARS) }));
      all.push(made);
    } catch (error) {
      if (!(error instanceof Unfit)) throw error;
      refused.push(error.message);
    }
  }
  return { all, refused };
}
