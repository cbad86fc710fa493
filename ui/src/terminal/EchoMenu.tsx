import type { ReactNode } from "react";
import { IconButton } from "../design/Button.tsx";
import { CheckIcon, KeyboardIcon } from "../design/icons.tsx";
import { MenuItem, Popover } from "../design/Popover.tsx";
import { t } from "../i18n";
import { useStore } from "../state/store.ts";
import { chooseEcho, echoMode } from "./echo.ts";

const MODES = ["auto", "always", "off"] as const;

/** Whether keys are shown before their echo came. */
export function EchoMenu(): ReactNode {
  const chosen = useStore(echoMode);
  return (
    <Popover
      end
      menu
      label={t("terminal:echo.menu")}
      anchor={(attributes) => (
        <IconButton small label={t("terminal:echo.button")} data-testid="echo-menu" {...attributes}>
          <KeyboardIcon size={15} />
        </IconButton>
      )}
    >
      {(close) => (
        <>
          <p className="menu-title" role="presentation">{t("terminal:echo.menu")}</p>
          {MODES.map((mode) => (
            <MenuItem
              key={mode}
              role="menuitemradio"
              aria-checked={mode === chosen}
              data-testid={`echo-${mode}`}
              icon={<CheckIcon size={15} className={mode === chosen ? "" : "unseen"} />}
              onClick={() => {
                close();
                chooseEcho(mode);
              }}
            >
              {t(`terminal:echo.${mode}`)}
            </MenuItem>
          ))}
        </>
      )}
    </Popover>
  );
}
