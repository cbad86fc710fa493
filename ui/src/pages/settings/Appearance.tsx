import type { ReactNode } from "react";
import { Segments } from "../../design/Segments.tsx";
import { chooseLanguage, type Language, language, LANGUAGES, t } from "../../i18n/index.ts";
import { plainKeys } from "../../palette/keys.ts";
import { useStore } from "../../state/store.ts";
import { motion, theme } from "../../state/theme.ts";

const LANGUAGE_TAGS = Object.keys(LANGUAGES) as Language[];

/** How this browser shows the console; nothing of it is stored on the host. */
export default function Appearance(): ReactNode {
  const shown = { theme: useStore(theme), motion: useStore(motion), keys: useStore(plainKeys) };
  return (
    <>
      <p className="muted">{t("settings:appearance.about")}</p>
      <div className="card">
        <Choice name="theme" of={["system", "dark", "light"]} value={shown.theme} onChoose={theme.choose} />
        <Choice name="language" of={LANGUAGE_TAGS} value={language()} onChoose={chooseLanguage} />
        <Choice name="motion" of={["system", "reduced"]} value={shown.motion} onChoose={motion.choose} />
        <Choice name="keys" of={["on", "off"]} value={shown.keys} onChoose={plainKeys.choose} />
      </div>
    </>
  );
}

interface ChoiceProps<T extends string> {
  name: "theme" | "language" | "motion" | "keys";
  of: readonly T[];
  value: T;
  onChoose: (value: T) => void;
}

type Known = Language | "system" | "dark" | "light" | "reduced" | "on" | "off";

function wordsOf(value: Known): string {
  return value in LANGUAGES ? LANGUAGES[value as Language] : t(`settings:value.${value as Exclude<Known, Language>}`);
}

function Choice<T extends Known>({ name, of, value, onChoose }: ChoiceProps<T>): ReactNode {
  return (
    <div className="choice">
      <div className="choice-words">
        <div id={`choice-${name}`}>{t(`settings:appearance.${name}`)}</div>
        <div className="muted">{t(`settings:appearance.${name}Why`)}</div>
      </div>
      <Segments aria-labelledby={`choice-${name}`} of={of} now={value} words={wordsOf} onChoose={onChoose} />
    </div>
  );
}
