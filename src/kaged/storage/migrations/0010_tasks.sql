-- A terminal that runs a task of the project file, in a cage of its own, keeps the task's name.
ALTER TABLE terminals ADD COLUMN task TEXT;
