<?php
declare(strict_types=1);

/** Sites that somebody inside has added; those of the answers belong to whoever runs this server. */
final class Sites
{
    private const NAME = '/^(?=.{1,200}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+$/D';
    private const TO = '#^https?://([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/%-]*)?$#D';
    private const KINDS = ['static', 'php', 'wordpress', 'proxy', 'redirect'];
    private const NUMBERS = ['max_upload' => 10240, 'memory' => 8192, 'workers' => 200];
    private const SWITCHES = ['tls', 'database'];

    /** @param list<string> $words NAME [KIND] [KEY=VALUE...] */
    public static function add(array $words): void
    {
        $row = self::row($words);
        foreach (Settings::read()->sites as $site) {
            if (array_intersect($site->names(), [$row['name'], ...$row['aliases'] ?? []]) !== []) {
                throw new Refused("`{$site->name}` is a site already, and has that name");
            }
        }
        self::keep([...Settings::byHand(), $row]);
    }

    public static function remove(string $name): void
    {
        $rows = Settings::byHand();
        $left = array_values(array_filter($rows, fn (array $row) => $row['name'] !== $name));
        if (count($left) === count($rows)) {
            Settings::read()->site($name);
            throw new Refused("`$name` is one of the answers' sites: `oven configure` removes it");
        }
        self::keep($left);
    }

    /** @param list<array<string, mixed>> $rows */
    private static function keep(array $rows): void
    {
        $before = Settings::byHand();
        writeWhole(Settings::BY_HAND, self::json($rows), 0600);
        try {
            Apply::test(Settings::read());
        } catch (Refused $error) {
            writeWhole(Settings::BY_HAND, self::json($before), 0600);
            throw $error;
        }
        Command::apply();
    }

    /** @param list<array<string, mixed>> $rows */
    private static function json(array $rows): string
    {
        return json_encode($rows, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES) . "\n";
    }

    /**
     * @param list<string> $words
     * @return array<string, mixed>
     */
    private static function row(array $words): array
    {
        $name = array_shift($words) ?? throw new Refused('give the name of the new site');
        self::check($name, self::NAME, 'a host name');
        $row = ['name' => $name];
        foreach ($words as $index => $word) {
            [$key, $value] = str_contains($word, '=') ? explode('=', $word, 2) : [$index === 0 ? 'kind' : $word, $word];
            $row[$key] = self::value($key, $value);
        }
        if (in_array($row['kind'] ?? '', ['proxy', 'redirect'], true) && !isset($row['to'])) {
            throw new Refused("a {$row['kind']} needs to=URL");
        }

        return $row;
    }

    /** @return string|int|bool|list<string> */
    private static function value(string $key, string $value): string|int|bool|array
    {
        if (isset(self::NUMBERS[$key])) {
            $most = self::NUMBERS[$key];
            $read = filter_var($value, FILTER_VALIDATE_INT, ['options' => ['min_range' => 1, 'max_range' => $most]]);

            return $read !== false ? $read : throw new Refused("`$key` must be a number from 1 to $most");
        }
        if (in_array($key, self::SWITCHES, true)) {
            return ['true' => true, 'false' => false][$value] ?? throw new Refused("`$key` must be true or false");
        }

        return match ($key) {
            'kind' => in_array($value, self::KINDS, true)
                ? $value : throw new Refused("`$value` must be one of " . implode(', ', self::KINDS)),
            'aliases' => array_map(fn (string $one) => self::check($one, self::NAME, 'a host name'), explode(',', $value)),
            'to' => self::check($value, self::TO, 'an http or https address'),
            'admin' => self::check($value, '/^[a-z0-9._-]{1,60}$/D', 'a name of lower case letters, digits, `.`, `_` and `-`'),
            'email' => self::check($value, '/^[^@\s"\']+@[^@\s"\']+$/D', 'an address'),
            'title' => self::check($value, '/^[^\x00-\x1f]{1,200}$/Du', 'one line of at most 200 characters'),
            default => throw new Refused("there is nothing called `$key` (see `webctl --help`)"),
        };
    }

    private static function check(string $value, string $pattern, string $what): string
    {
        return preg_match($pattern, $value) === 1 ? $value : throw new Refused("`$value` must be $what");
    }
}
