import { type ReactNode, useState } from "react";
import { IconButton } from "../design/Button.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { CloseIcon, ReadIcon } from "../design/icons.tsx";
import { t } from "../i18n/index.ts";
import type { Attachment } from "../journal/model.ts";
import { bytes } from "../text/format.ts";

/** Only such a source is ever made of what came with a message: an image, from the page itself. */
function sourceOf({ type, data }: Attachment): string | null {
  return /^image\/(png|jpeg|gif|webp)$/.test(type) && /^[A-Za-z0-9+/=]*$/.test(data) ? `data:${type};base64,${data}` : null;
}

interface AttachedProps {
  files: readonly Attachment[]; onRemove?: (index: number) => void;
}

/** Files that come with a message: before they are sent they can be taken out again; each opens. */
export function Attached({ files, onRemove }: AttachedProps): ReactNode {
  const [open, setOpen] = useState<Attachment | null>(null);
  if (files.length === 0) return null;
  const source = open === null ? null : sourceOf(open);
  return (
    <>
      <ul role="list" className="attached" aria-label={t("session:attach.list")}>
        {files.map((file, index) => (
          <li key={index} data-testid="attachment">
            <button type="button" className="attached-file" title={t("session:attach.open", { name: file.name })} onClick={() => setOpen(file)}>
              {sourceOf(file) === null ? <ReadIcon size={14} aria-hidden /> : <img src={sourceOf(file) ?? undefined} alt="" />}
              <span className="ellipsis">{file.name}</span>
              <span className="muted">{bytes(sourceOf(file) === null ? file.data.length : file.data.length * 0.75)}</span>
            </button>
            {onRemove === undefined ? null : (
              <IconButton small label={t("session:attach.remove", { name: file.name })} onClick={() => onRemove(index)}>
                <CloseIcon size={13} />
              </IconButton>
            )}
          </li>
        ))}
      </ul>
      {open === null ? null : (
        <Dialog title={open.name} wide onClose={() => setOpen(null)}>
          {source === null ? <pre className="output all">{open.data}</pre> : <img className="attached-whole" src={source} alt={open.name} />}
        </Dialog>
      )}
    </>
  );
}
