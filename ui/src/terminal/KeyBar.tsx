import type { ReactNode } from "react";
import { t } from "../i18n";
import { TOUCH_KEYS } from "./keys.ts";

interface KeyBarProps {
  ctrl: boolean;
  onCtrl: () => void;
  onType: (data: string) => void;
  onPaste: () => void;
}

/** Keys that a phone's keyboard does not have. Shown where the pointer is a finger. */
export function KeyBar({ ctrl, onCtrl, onType, onPaste }: KeyBarProps): ReactNode {
  return (
    // Taking the focus would close the phone's keyboard.
    <div
      className="key-bar"
      role="toolbar"
      aria-label={t("terminal:keys.label")}
      onPointerDown={(event) => event.preventDefault()}
    >
      <button type="button" aria-pressed={ctrl} onClick={onCtrl}>
        {t("terminal:keys.ctrl")}
      </button>
      {TOUCH_KEYS.map((key) => (
        <button key={key.name} type="button" aria-label={t(`terminal:keys.${key.name}`)} onClick={() => onType(key.data)}>
          {key.label}
        </button>
      ))}
      <button type="button" onClick={onPaste}>
        {t("terminal:keys.paste")}
      </button>
    </div>
  );
}
