<?php
declare(strict_types=1);

/** A copy of one site, to be taken elsewhere; `oven backup` is for the whole server. */
final class Backup
{
    private const FOLDER = '/var/backups/web';

    /** Write the files and the database of a site into one archive; gives its path. */
    public static function make(Site $site): string
    {
        if (!$site->hasFiles()) {
            throw new Refused("`{$site->name}` is a {$site->kind}: all of it is in the answers");
        }
        folder(self::FOLDER, 0700);
        $archive = self::FOLDER . "/{$site->name}-" . gmdate('Ymd\THis\Z') . '.tar.gz';
        $parts = ['--directory', '/srv/sites', '--exclude', "{$site->name}/tmp", $site->name];
        $dump = self::FOLDER . "/.{$site->name}.sql";
        try {
            if ($site->database) {
                touch($dump);
                chmod($dump, 0600);
                run('mariadb-dump', '--single-transaction', "--result-file=$dump", $site->account());
                array_push($parts, '--directory', self::FOLDER, '--transform', "s,^\.{$site->name}\.sql,database.sql,", basename($dump));
            }
            touch("$archive.new");
            chmod("$archive.new", 0600);
            run('tar', '--create', '--gzip', '--file', "$archive.new", ...$parts);
            rename("$archive.new", $archive);
        } finally {
            @unlink($dump);
            @unlink("$archive.new");
        }

        return $archive;
    }
}
