<?php
declare(strict_types=1);

/** `webctl`: what somebody inside, and the units of this server, may have done. */
final class Command
{
    private const USAGE = <<<'END'
        usage: webctl site list [--json]
               webctl site add NAME [KIND] [KEY=VALUE...]
               webctl site remove NAME
               webctl site backup NAME
               webctl site password NAME
               webctl apply | test | check | acme | cron

        site add       serves one more site; KIND is static, php, wordpress, proxy or redirect, and KEY one
                       of those of `sites` in the answers
        site remove    serves a site no more that was added so; its files and database stay
        site backup    writes files and database of a site to /var/backups/web
        site password  prints what the first administrator of a WordPress was given
        apply          makes this server what it was told; the same again changes nothing
        test           judges what it was told, and changes nothing
        check          asks each site for a page
        acme           gets and renews certificates
        cron           has each WordPress do what is due

        END;

    /** @param list<string> $argv */
    public static function run(array $argv): int
    {
        try {
            return self::dispatch(array_slice($argv, 1));
        } catch (Refused $error) {
            fwrite(STDERR, "webctl: {$error->getMessage()}\n");

            return 1;
        }
    }

    /** @param list<string> $words */
    private static function dispatch(array $words): int
    {
        $rest = array_slice($words, 2);
        $done = match (array_slice($words, 0, 2)) {
            ['apply'] => self::apply(),
            ['test'] => Apply::test(Settings::read()),
            ['check'] => Check::all(Settings::read()),
            ['acme'] => Certificates::renew(Settings::read()),
            ['cron'] => self::cron(),
            ['site', 'list'] => self::list($rest === ['--json']),
            ['site', 'add'] => Sites::add($rest),
            ['site', 'remove'] => Sites::remove(self::one($rest)),
            ['site', 'backup'] => print Backup::make(Settings::read()->site(self::one($rest))) . "\n",
            ['site', 'password'] => self::password(self::one($rest)),
            default => self::deploy($words),
        };

        return $done === false ? 2 : 0;
    }

    public static function apply(): void
    {
        folder('/run/web');
        $lock = fopen('/run/web/lock', 'c');
        flock($lock, LOCK_EX);
        Apply::all(Settings::read());
    }

    private static function cron(): void
    {
        foreach (Settings::read()->sites as $site) {
            if ($site->kind === 'wordpress') {
                WordPress::cron($site);
            }
        }
    }

    private static function list(bool $json): void
    {
        $byHand = array_column(Settings::byHand(), 'name');
        $rows = array_map(fn (Site $site) => [
            'name' => $site->name,
            'kind' => $site->kind,
            'aliases' => $site->aliases,
            'tls' => $site->tls,
            'added' => in_array($site->name, $byHand, true) ? 'by hand' : 'by the answers',
        ], Settings::read()->sites);
        if ($json) {
            echo json_encode($rows, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES), "\n";

            return;
        }
        foreach ($rows as $row) {
            printf("%-40s %-10s %-8s %s\n", $row['name'], $row['kind'], $row['tls'] ? 'https' : 'http', $row['added']);
        }
    }

    private static function password(string $name): void
    {
        $file = WordPress::passwordFile(Settings::read()->site($name));
        if (!is_file($file)) {
            throw new Refused("`$name` is no WordPress that was set up here");
        }
        readfile($file);
    }

    /** @param list<string> $words */
    private static function one(array $words): string
    {
        if (count($words) !== 1) {
            throw new Refused('give the name of one site (see `webctl site list`)');
        }

        return $words[0];
    }

    /** @param list<string> $words as the hook of dehydrated(1) gives them */
    private static function deploy(array $words): bool
    {
        if (count($words) === 4 && $words[0] === 'deploy') {
            Certificates::deploy($words[1], $words[2], $words[3]);

            return true;
        }
        $help = in_array($words, [['--help'], ['-h'], ['help']], true);
        fwrite($help ? STDOUT : STDERR, self::USAGE);

        return $help;
    }
}
