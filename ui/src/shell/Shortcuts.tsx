import type { ReactNode } from "react";
import { Dialog } from "../design/Dialog.tsx";
import { t } from "../i18n/index.ts";
import { ACT_IDS, actOf, SCOPES } from "../palette/acts.ts";
import { Key } from "../palette/Key.tsx";
import { capsOf, plainKeys } from "../palette/keys.ts";
import { useStore } from "../state/store.ts";

/** Every act and its key, by where it counts. */
export function Shortcuts({ onClose }: { onClose: () => void }): ReactNode {
  const plain = useStore(plainKeys);
  const mod = capsOf("mod+k")[0]?.[0] ?? "";
  return (
    <Dialog title={t("palette:keys")} onClose={onClose} wide>
      <p className="muted">{t(plain === "on" ? "palette:plain" : "palette:plainOff", { mod })}</p>
      <div className="keys-columns" role="group" aria-label={t("palette:keys")} tabIndex={0}>
        {SCOPES.map((scope) => (
          <section key={scope} aria-labelledby={`keys-${scope}`} data-testid="keys-scope">
            <h3 className="keys-scope" id={`keys-${scope}`}>{t(`palette:scope.${scope}`)}</h3>
            <dl className="keys">
              {ACT_IDS.filter((id) => actOf(id).scope === scope).map((id) => (
                <div key={id} data-act={id}><dt>{t(`palette:act.${id}`)}</dt><dd><Key of={actOf(id).key} /></dd></div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
