"""A repository of RPM packages, as its metadata tells of it."""

from pathlib import Path

from builder.distros.rpm.metadata import Metadata

REPOMD = """\
<repomd xmlns="http://linux.duke.edu/metadata/repo">
  <revision>1</revision>
  <data type="primary"><location href="repodata/primary.xml{ending}"/>
    <timestamp>1717416000</timestamp></data>
  <data type="other"><location href="repodata/other.xml"/><timestamp>7</timestamp></data>
</repomd>
"""


def repository(folder: Path, data: bytes, ending: str = "", repomd: str = REPOMD) -> Metadata:
    (folder / "repodata").mkdir()
    (folder / "repodata/repomd.xml").write_text(repomd.format(ending=ending))
    (folder / f"repodata/primary.xml{ending}").write_bytes(data)
    return Metadata(folder)


SHA = "5f" * 32


STANZA = f"""\
<package type="rpm">
  <name>web</name><arch>x86_64</arch>
  <version epoch="2" ver="1.0~rc1" rel="3.el9"/>
  <checksum type="sha256" pkgid="YES">{SHA}</checksum>
  <size package="1234" installed="9" archive="9"/>
  <location href="Packages/w/web-1.0~rc1-3.el9.x86_64.rpm"/>
  <format>
    <rpm:provides><rpm:entry name="web" flags="EQ" epoch="2" ver="1.0~rc1" rel="3.el9"/>
      <rpm:entry name="httpd"/></rpm:provides>
    <rpm:requires><rpm:entry name="libweb" flags="GE" epoch="0" ver="3"/></rpm:requires>
    <file>/usr/bin/web</file>
  </format>
</package>
"""


PRIMARY = f"""\
<metadata xmlns="http://linux.duke.edu/metadata/common"
  xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="1">
{STANZA}</metadata>
""".encode()
