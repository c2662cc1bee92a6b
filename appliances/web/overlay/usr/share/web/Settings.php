<?php
declare(strict_types=1);

/** A host name that is served, and how: one row of the answers, or one that was added by hand. */
final class Site
{
    public readonly string $name;
    /** @var list<string> */
    public readonly array $aliases;
    public readonly string $kind;
    public readonly string $to;
    public readonly bool $tls;
    public readonly bool $database;
    /** MiB that a request may have. */
    public readonly int $maxUpload;
    /** MiB that one PHP process may have. */
    public readonly int $memory;
    public readonly int $workers;
    public readonly string $title;
    public readonly string $admin;
    public readonly string $email;

    /** @param array<string, mixed> $row */
    public function __construct(array $row)
    {
        $this->name = $row['name'];
        $this->aliases = $row['aliases'] ?? [];
        $this->kind = $row['kind'] ?? 'static';
        $this->to = $row['to'] ?? '';
        $this->tls = $row['tls'] ?? true;
        $this->database = ($row['database'] ?? false) || $this->kind === 'wordpress';
        $this->maxUpload = $row['max_upload'] ?? 32;
        $this->memory = $row['memory'] ?? 128;
        $this->workers = $row['workers'] ?? 8;
        $this->title = $row['title'] ?? $this->name;
        $this->admin = $row['admin'] ?? 'admin';
        $this->email = $row['email'] ?? "{$this->admin}@{$this->name}";
    }

    /** @return list<string> */
    public function names(): array
    {
        return [$this->name, ...$this->aliases];
    }

    public function runsPhp(): bool
    {
        return $this->kind === 'php' || $this->kind === 'wordpress';
    }

    public function hasFiles(): bool
    {
        return $this->kind === 'static' || $this->runsPhp();
    }

    /** The unix user, the user of the database and the database: 32 characters at most. */
    public function account(): string
    {
        $readable = preg_replace('/[^a-z0-9]/', '_', $this->name);

        // Another name may read the same, as a-b.c and a.b-c do.
        return 'w_' . substr($readable, 0, 21) . '_' . substr(hash('sha256', $this->name), 0, 8);
    }

    public function home(): string
    {
        return "/srv/sites/{$this->name}";
    }

    public function docroot(): string
    {
        return $this->kind === 'wordpress' ? '/usr/share/wordpress' : "{$this->home()}/htdocs";
    }

    public function socket(): string
    {
        return "/run/web-php/{$this->name}.sock";
    }
}

/** All that this web server was told: by the answers of the instance, and by `webctl site add`. */
final class Settings
{
    public const ANSWERS = '/etc/web/settings.json';
    public const BY_HAND = '/var/lib/web/sites.json';

    /** @param list<Site> $sites */
    private function __construct(
        public readonly array $sites,
        public readonly string $acmeEmail,
        public readonly string $acmeDirectory,
        public readonly string $acmeCa,
        public readonly bool $hsts,
        /** @var list<string> */
        public readonly array $trustedProxies,
    ) {
    }

    public static function read(): self
    {
        // Whoever is no instance, as when a template is tried, was told nothing.
        $told = is_file(self::ANSWERS) ? self::json(self::ANSWERS) : [];
        $rows = [];
        foreach ([...$told['sites'] ?? [], ...self::byHand()] as $row) {
            // What the answers say of a site counts more than what was added by hand.
            $rows[$row['name']] ??= new Site($row);
        }
        self::refuseSharedNames($rows);

        return new self(
            array_values($rows),
            $told['acme_email'] ?? '',
            $told['acme_directory'] ?? '',
            $told['acme_ca'] ?? '',
            $told['hsts'] ?? true,
            $told['trusted_proxies'] ?? [],
        );
    }

    /** @return list<array<string, mixed>> */
    public static function byHand(): array
    {
        return is_file(self::BY_HAND) ? self::json(self::BY_HAND) : [];
    }

    public function site(string $name): Site
    {
        foreach ($this->sites as $site) {
            if ($site->name === $name) {
                return $site;
            }
        }
        throw new Refused("there is no site `$name` (see `webctl site list`)");
    }

    public function needsDatabase(): bool
    {
        return array_filter($this->sites, fn (Site $site) => $site->database) !== [];
    }

    /** @return array<mixed> */
    private static function json(string $file): array
    {
        return json_decode(file_get_contents($file), true, flags: JSON_THROW_ON_ERROR);
    }

    /** @param array<string, Site> $sites */
    private static function refuseSharedNames(array $sites): void
    {
        $taken = [];
        foreach ($sites as $site) {
            foreach ($site->names() as $name) {
                if (isset($taken[$name])) {
                    throw new Refused("`$name` leads to two sites: `{$taken[$name]}` and `{$site->name}`");
                }
                $taken[$name] = $site->name;
            }
        }
    }
}
