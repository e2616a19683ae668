import com.android.bundle.Config.BundleConfig;
import com.android.bundle.Config.Compression;
import com.android.bundle.Config.Optimizations;
import com.android.bundle.Config.UncompressNativeLibraries;
import com.android.bundle.Config.UncompressNativeLibraries.PageAlignment;
import com.android.tools.build.bundletool.commands.BuildBundleCommand;
import com.google.common.collect.ImmutableList;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.CertPath;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import jdk.security.jarsigner.JarSigner;

/**
 * The release as an app bundle, from which Google Play makes an APK for each device.
 *
 * <p>BuildBundle LINKED WORK AARS APKS reads LINKED/bundle.apk (resources and manifest as protocol buffers), WORK/dex.zip,
 * which BuildApks left, and the native libraries, and writes APKS/vitconv-demo-release.aab.
 *
 * <p>A bundle is for a store and for nothing else, so it is never signed with Android's debug key: VITCONV_KEYSTORE,
 * VITCONV_KEYSTORE_PASSWORD and VITCONV_KEY_ALIAS must be there.
 */
public class BuildBundle {
  private static final List<String> ABIS = List.of("arm64-v8a", "armeabi-v7a");
  private static final List<String> NATIVE_LIBRARIES = List.of("runtime", "runtime-gpu");

  public static void main(String[] args) throws Exception {
    Path linked = Path.of(args[0], "bundle.apk"), work = Path.of(args[1]), aars = Path.of(args[2]), apks = Path.of(args[3]);
    KeyStore.PrivateKeyEntry key = key();
    Path module = work.resolve("base.zip"), unsigned = work.resolve("unsigned.aab");
    Path bundle = apks.resolve("vitconv-demo-release.aab");
    pack(linked, work.resolve("dex.zip"), aars, module);
    Files.deleteIfExists(unsigned);
    // Looks through what it was given, and throws where something of it is no part of an app.
    BuildBundleCommand.builder()
        .setModulesPaths(ImmutableList.of(module))
        .setOutputPath(unsigned)
        .setBundleConfig(config())
        .build()
        .execute();
    sign(unsigned, bundle, key);
    Files.delete(module);
    Files.delete(unsigned);
    System.out.printf("%s: %.2f MB%n", bundle.getFileName(), Files.size(bundle) / 1e6);
  }

  /** As in the APKs: models and libraries are mapped from the package, so neither is deflated. */
  private static BundleConfig config() {
    return BundleConfig.newBuilder()
        .setCompression(Compression.newBuilder().addUncompressedGlob("assets/**.tflite"))
        .setOptimizations(Optimizations.newBuilder().setUncompressNativeLibraries(
            UncompressNativeLibraries.newBuilder().setEnabled(true).setAlignment(PageAlignment.PAGE_ALIGNMENT_16K)))
        .build();
  }

  /** A module of an app bundle: the same parts as an APK's, in folders of its own. */
  private static void pack(Path linked, Path dex, Path aars, Path out) throws IOException {
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(out));
        ZipFile base = new ZipFile(linked.toFile()); ZipFile code = new ZipFile(dex.toFile())) {
      for (ZipEntry entry : Collections.list(base.entries())) {
        String name = entry.getName().equals("AndroidManifest.xml") ? "manifest/AndroidManifest.xml" : entry.getName();
        try (InputStream content = base.getInputStream(entry)) {
          add(zip, name, content.readAllBytes());
        }
      }
      for (ZipEntry entry : Collections.list(code.entries())) {
        if (!entry.getName().matches("classes\\d*\\.dex")) continue;
        try (InputStream content = code.getInputStream(entry)) {
          add(zip, "dex/" + entry.getName(), content.readAllBytes());
        }
      }
      for (String abi : ABIS) {
        for (String library : NATIVE_LIBRARIES) {
          try (Stream<Path> files = Files.list(aars.resolve(library).resolve("jni").resolve(abi))) {
            for (Path file : (Iterable<Path>) files.sorted()::iterator) {
              add(zip, "lib/" + abi + "/" + file.getFileName(), Files.readAllBytes(file));
            }
          }
        }
      }
    }
  }

  private static void add(ZipOutputStream zip, String name, byte[] content) throws IOException {
    ZipEntry entry = new ZipEntry(name);
    entry.setTimeLocal(java.time.LocalDateTime.of(1981, 1, 1, 0, 0));
    zip.putNextEntry(entry);
    zip.write(content);
    zip.closeEntry();
  }

  /** A bundle has a JAR's signature; Google Play signs the APKs. */
  private static void sign(Path unsigned, Path bundle, KeyStore.PrivateKeyEntry key) throws Exception {
    CertPath chain = CertificateFactory.getInstance("X.509").generateCertPath(Arrays.asList(key.getCertificateChain()));
    try (ZipFile from = new ZipFile(unsigned.toFile()); OutputStream to = Files.newOutputStream(bundle)) {
      new JarSigner.Builder(key.getPrivateKey(), chain).signerName("VITCONV").build().sign(from, to);
    }
  }

  private static KeyStore.PrivateKeyEntry key() throws Exception {
    String file = needed("VITCONV_KEYSTORE"), alias = needed("VITCONV_KEY_ALIAS");
    char[] password = needed("VITCONV_KEYSTORE_PASSWORD").toCharArray();
    KeyStore store = KeyStore.getInstance(Path.of(file).toFile(), password);
    if (!(store.getKey(alias, password) instanceof PrivateKey)) {
      throw new IOException("the keystore " + file + " holds no key named " + alias);
    }
    return (KeyStore.PrivateKeyEntry) store.getEntry(alias, new KeyStore.PasswordProtection(password));
  }

  private static String needed(String variable) throws IOException {
    String value = System.getenv(variable);
    if (value == null) throw new IOException("an app bundle is for a store and needs your own key: " + variable + " is not set");
    return value;
  }
}
