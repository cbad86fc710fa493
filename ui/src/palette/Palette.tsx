import { type KeyboardEvent, type ReactNode, useEffect, useId, useMemo, useRef, useState } from "react";
import { IconButton } from "../design/Button.tsx";
import { useModal } from "../design/hooks.ts";
import { CloseIcon, SearchIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { workspace } from "../state/workspace.ts";
import { doable } from "./acts.ts";
import { found, type Hit, SECTIONS } from "./find.tsx";
import { itemsOf, listTerminals, recentIds, remember } from "./items.ts";
import { Key } from "./Key.tsx";

/** Reaches every place and every act by a few letters of its name. */
export default function Palette({ onClose }: { onClose: () => void }): ReactNode {
  const dialog = useModal(onClose);
  const list = useRef<HTMLDivElement>(null);
  const [query, setQuery] = useState("");
  const [at, setAt] = useState(0);
  const { value: terminals, problem } = useLoaded(listTerminals);
  const space = useStore(workspace);
  const acts = useStore(doable);
  const base = useId();
  const hits = useMemo(() => found(itemsOf(acts, space, terminals ?? []), query, recentIds()), [acts, space, terminals, query]);
  const chosen = Math.min(at, hits.length - 1);
  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen, hits]);

  const run = ({ item }: Hit): void => {
    remember(item.id);
    onClose();
    item.run();
  };
  const press = (event: KeyboardEvent): void => {
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    const hit = hits[chosen];
    if (step !== undefined && hits.length > 0) {
      const far = Math.abs(step) > 1 ? Math.max(0, Math.min(hits.length - 1, chosen + step)) : chosen + step;
      setAt((far + hits.length) % hits.length);
    } else if (event.key === "Enter" && hit !== undefined && !event.nativeEvent.isComposing) run(hit);
    else if (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey)) onClose();
    else return;
    event.preventDefault();
  };
  return (
    <dialog ref={dialog} className="dialog palette" aria-label={t("palette:title")} data-testid="palette" onClose={onClose}
      onMouseDown={(event) => event.target === dialog.current && onClose()}>
      <div className="palette-head">
        <SearchIcon size={17} />
        <input role="combobox" autoFocus aria-label={t("palette:title")} aria-expanded aria-controls={base}
          aria-autocomplete="list" aria-activedescendant={chosen < 0 ? undefined : `${base}-${chosen}`}
          placeholder={t("palette:placeholder")} autoComplete="off" autoCapitalize="none" spellCheck={false}
          enterKeyHint="go" value={query} onChange={(event) => { setQuery(event.target.value); setAt(0); }}
          onKeyDown={press} />
        <IconButton label={t("common:close")} onClick={onClose}><CloseIcon size={17} /></IconButton>
      </div>
      <div className="palette-list" id={base} role="listbox" aria-label={t("palette:title")} ref={list}>
        {SECTIONS.map((section) => {
          const own = hits.flatMap((hit, index) => (hit.item.section === section ? [{ hit, index }] : []));
          if (own.length === 0) return null;
          return (
            <div key={section} role="group" aria-labelledby={`${base}-${section}`}>
              <div className="palette-section" id={`${base}-${section}`} role="presentation">
                {t(`palette:section.${section}`)}
              </div>
              {own.map(({ hit, index }) => (
                <div key={hit.item.id} id={`${base}-${index}`} role="option" aria-selected={index === chosen}
                  className="palette-item" data-testid="palette-item" onMouseMove={() => setAt(index)}
                  onClick={() => run(hit)}>
                  <span className="palette-words ellipsis">{hit.shown}</span>
                  <span className="palette-about ellipsis">{hit.item.about}</span>
                  {hit.item.key === undefined ? null : <Key of={hit.item.key} />}
                </div>
              ))}
            </div>
          );
        })}
        {hits.length === 0 ? <p className="palette-none">{t("palette:none")}</p> : null}
      </div>
      <div className="palette-foot" role="status">
        <span>{query === "" ? t("palette:foot") : t("palette:found", { count: hits.length })}</span>
        {problem === null ? null : <span>{t("palette:unreached", { reason: problem })}</span>}
      </div>
    </dialog>
  );
}
