<?php
declare(strict_types=1);

/** Makes this server what it was told: accounts, folders, certificates, databases, and then who serves. */
final class Apply
{
    private const LIVE = '/run/web/live';

    /** Write what nginx and PHP would be told into a folder of its own, and let them judge it. */
    public static function test(Settings $settings): void
    {
        $folder = '/run/web/test';
        self::empty($folder);
        $stand_in = "$folder/stand-in.pem";
        writeWhole($stand_in, Certificates::selfSigned(['stand-in.invalid']), 0600);
        $known = fn (Site $site) => is_file(Certificates::of($site)) ? Certificates::of($site) : $stand_in;
        self::write($folder, $settings, $known);
        // A site that is new has no user yet.
        $pools = preg_replace_callback(
            '/^(user|group) = (w_\S+)$/m',
            fn (array $line) => posix_getpwnam($line[2]) === false ? "$line[1] = www-data" : $line[0],
            file_get_contents("$folder/php-fpm.conf"),
        );
        writeWhole("$folder/php-fpm.conf", $pools);
        self::judge($folder);
    }

    /** Do all of it; the same again changes nothing, and tells nobody. */
    public static function all(Settings $settings): void
    {
        folder('/run/web');
        folder('/var/lib/web');
        folder('/srv/sites');
        foreach ($settings->sites as $site) {
            if ($site->hasFiles()) {
                Accounts::settle($site);
            }
        }
        Certificates::settle($settings);
        self::databases($settings);
        $next = '/run/web/' . bin2hex(random_bytes(8));
        self::empty($next);
        self::write($next, $settings, Certificates::of(...));
        self::judge($next);
        self::switch($next);
    }

    private static function databases(Settings $settings): void
    {
        Databases::start($settings);
        $with = array_filter($settings->sites, fn (Site $site) => $site->database);
        if ($with !== []) {
            Databases::letReadyAsk();
        }
        foreach ($with as $site) {
            Databases::settle($site);
            if ($site->kind === 'wordpress') {
                WordPress::settle($site, self::seed());
            }
        }
        writeWhole('/var/lib/web/ready.json', json_encode(['database' => $with !== []]) . "\n");
    }

    /** A credential of web-sites.service; whoever calls webctl by hand reads what that has kept. */
    private static function seed(): string
    {
        $kept = '/run/web/seed';
        if (($folder = getenv('CREDENTIALS_DIRECTORY')) !== false) {
            writeWhole($kept, file_get_contents("$folder/seed"), 0600);
        }

        return trim(file_get_contents($kept));
    }

    /** @param Closure(Site): string $certificate */
    private static function write(string $folder, Settings $settings, Closure $certificate): void
    {
        writeWhole("$folder/nginx.conf", (new Nginx($settings))->text($certificate));
        writeWhole("$folder/php-fpm.conf", PhpPools::text($settings));
    }

    private static function judge(string $folder): void
    {
        // Whatever else lies in conf.d counts as it is.
        $parts = array_diff(glob('/etc/nginx/conf.d/*.conf'), ['/etc/nginx/conf.d/web.conf']);
        $included = array_map(fn (string $part) => "include $part;", [...$parts, "$folder/nginx.conf"]);
        $main = file_get_contents('/etc/nginx/nginx.conf');
        $main = str_replace('include /etc/nginx/conf.d/*.conf;', implode(' ', $included), $main);
        writeWhole("$folder/main.conf", $main);
        run('nginx', '-q', '-t', '-c', "$folder/main.conf");
        run('php-fpm', '--test', '--fpm-config', "$folder/php-fpm.conf");
        unlink("$folder/main.conf");
    }

    /** Put what was written in place at once, and have those who serve read it where it differs. */
    private static function switch(string $next): void
    {
        $before = is_link(self::LIVE) ? readlink(self::LIVE) : null;
        $changed = [];
        foreach (['nginx.conf' => 'nginx.service', 'php-fpm.conf' => 'web-php.service'] as $file => $unit) {
            if ($before === null || file_get_contents("$before/$file") !== file_get_contents("$next/$file")) {
                $changed[] = $unit;
            }
        }
        symlink($next, "$next.link");
        rename("$next.link", self::LIVE);
        if ($before !== null) {
            run('rm', '-rf', $before);
        }
        // PHP first: nginx sends nobody to a pool that is not there yet.
        foreach (array_reverse($changed) as $unit) {
            reread($unit);
        }
    }

    private static function empty(string $folder): void
    {
        run('rm', '-rf', $folder);
        folder($folder);
    }
}
