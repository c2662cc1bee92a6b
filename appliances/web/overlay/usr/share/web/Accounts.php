<?php
declare(strict_types=1);

/** Each site's unix user, and the folder that is its alone. */
final class Accounts
{
    private const FIRST_ID = 20000;

    /** Make what is missing for a site; what is there stays as it is. */
    public static function settle(Site $site): void
    {
        $home = $site->home();
        $user = $site->account();
        if (posix_getpwnam($user) === false) {
            // The files may be older than this system: whoever owned them is this user again.
            $id = is_dir($home) ? fileowner($home) : self::free();
            run('groupadd', '--system', '--gid', (string) $id, $user);
            run(
                'useradd', '--system', '--uid', (string) $id, '--gid', (string) $id, '--no-create-home',
                '--home-dir', $home, '--shell', '/usr/sbin/nologin', $user,
            );
        }
        self::home($home, $user);
        self::make($user, "$home/tmp");
        if ($site->kind === 'wordpress') {
            WordPress::folders($site);
        } elseif (!is_dir("$home/htdocs")) {
            self::make($user, "$home/htdocs");
            self::welcome($site);
        }
    }

    /**
     * Have a user make folders below its own one, where it may have put links to anywhere.
     *
     * Their group is that of the folder above: nginx may read them.
     */
    public static function make(string $user, string ...$paths): void
    {
        self::as($user, 'sh', '-c', 'umask 027 && mkdir -p -- "$@"', 'sh', ...$paths);
    }

    /** Run a program as a user who has nothing else. */
    public static function as(string $user, string ...$argv): void
    {
        self::asWith([], $user, ...$argv);
    }

    /** @param array<string, string> $variables */
    public static function asWith(array $variables, string $user, string ...$argv): void
    {
        $only = ['--reuid', $user, '--regid', $user, '--clear-groups', '--no-new-privs'];
        runWith($variables, 'setpriv', ...[...$only, ...$argv]);
    }

    /** Make the folder that is a user's alone, but for nginx that may read it. */
    private static function home(string $path, string $user): void
    {
        if (is_dir($path)) {
            return;
        }
        // Put in place as a whole: its owner is what a site is known by.
        $new = dirname($path) . '/.new-' . basename($path);
        folder($new, 0700);
        chown($new, $user);
        chgrp($new, 'www-data');
        chmod($new, 02750);
        rename($new, $path);
    }

    private static function welcome(Site $site): void
    {
        $text = "<!DOCTYPE html>\n<meta charset=utf-8>\n<title>{$site->name}</title>\n<h1>{$site->name}</h1>\n"
            . "<p>Nothing is here yet.\n";
        $script = 'umask 027 && printf %s "$1" >"$2"';
        self::as($site->account(), 'sh', '-c', $script, 'sh', $text, "{$site->home()}/htdocs/index.html");
    }

    private static function free(): int
    {
        $taken = array_map(fileowner(...), glob('/srv/sites/*', GLOB_ONLYDIR));
        $id = max([self::FIRST_ID - 1, ...$taken]) + 1;
        while (posix_getpwuid($id) !== false || posix_getgrgid($id) !== false) {
            $id++;
        }

        return $id;
    }
}
