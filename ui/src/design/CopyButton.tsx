import { type ReactNode, useEffect, useState } from "react";
import { t } from "../i18n/index.ts";
import { toast } from "../state/toasts.ts";
import { IconButton } from "./Button.tsx";
import { CheckIcon, CopyIcon } from "./icons.tsx";

export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    toast(t("design:copy_refused"), "bad");
    return false;
  }
}

export function CopyButton({ text, label = t("design:copy") }: { text: () => string; label?: string }): ReactNode {
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = async (): Promise<void> => setDone(await copyText(text()));
  return (
    <IconButton small label={done ? t("design:copied") : label} onClick={() => void copy()} className="copy">
      {done ? <CheckIcon size={14} /> : <CopyIcon size={14} />}
    </IconButton>
  );
}
