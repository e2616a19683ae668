import com.android.apksig.ApkSigner;
import com.android.apksig.ApkVerifier;
import com.android.apksig.KeyConfig;
import com.android.tools.r8.CompilationMode;
import com.android.tools.r8.JdkClassFileProvider;
import com.android.tools.r8.OutputMode;
import com.android.tools.r8.R8;
import com.android.tools.r8.R8Command;
import com.android.tools.r8.Version;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;

/**
 * Code, native libraries and linked resources → signed APKs.
 *
 * <p>BuildApks PROGRAM_JARS FRAMEWORK_JAR PROJECT AARS MIN_SDK LINKED WORK APKS reads LINKED/{release,debug}.apk and
 * writes APKS/vitconv-demo-{release,debug}.apk, and what is of no use afterwards into WORK.
 *
 * <p>The key: VITCONV_KEYSTORE (a PKCS #12 or JKS file), VITCONV_KEYSTORE_PASSWORD and VITCONV_KEY_ALIAS in the
 * environment, for which a command line would be no place. Otherwise Android's own debug key is taken, and made where
 * there is none yet, as Android Studio does.
 */
public class BuildApks {
  /** What each variant holds. Emulators and Chromebooks are x86_64; phones are not. */
  private static final Map<String, List<String>> ABIS = Map.of(
      "release", List.of("arm64-v8a", "armeabi-v7a"),
      "debug", List.of("arm64-v8a", "armeabi-v7a", "x86_64"));

  private static final List<String> NATIVE_LIBRARIES = List.of("runtime", "runtime-gpu");

  public static void main(String[] args) throws Exception {
    List<Path> program = Stream.of(args[0].split(File.pathSeparator)).map(Path::of).collect(Collectors.toList());
    Path framework = Path.of(args[1]), project = Path.of(args[2]), aars = Path.of(args[3]);
    int minSdk = Integer.parseInt(args[4]);
    Path linked = Path.of(args[5]), work = Path.of(args[6]), apks = Files.createDirectories(Path.of(args[7]));
    ApkSigner.SignerConfig key = key();
    if (System.getenv("VITCONV_KEYSTORE") == null) {
      System.out.println("Both APKs are signed with Android's debug key, the release as well: for trying, not for publishing.");
    }
    Path dex = dex(program, framework, rules(project, aars), minSdk, work);
    for (String variant : List.of("release", "debug")) {
      Path unsigned = work.resolve("unsigned-" + variant + ".apk");
      pack(linked.resolve(variant + ".apk"), dex, aars, ABIS.get(variant), unsigned);
      Path apk = apks.resolve("vitconv-demo-" + variant + ".apk");
      sign(unsigned, apk, key, minSdk);
      Files.delete(unsigned);
      System.out.printf("%s: %.2f MB%n", apk.getFileName(), Files.size(apk) / 1e6);
    }
  }

  /**
   * The app's own, and those that come with libraries; but none that would keep the annotations of every class, which R8
   * would have to read. What lifecycle-runtime's says beside that is in the app's.
   */
  private static List<Path> rules(Path project, Path aars) throws IOException {
    Stream<Path> own = Stream.of(project.resolve("proguard-rules.pro"), project.resolve("../classifier/consumer-rules.pro"));
    try (Stream<Path> libraries = Files.list(aars.resolve("jetpack"))) {
      List<Path> rules = own.collect(Collectors.toList());
      for (Path library : (Iterable<Path>) libraries.sorted()::iterator) {
        Path theirs = library.resolve("proguard.txt");
        if (Files.exists(theirs) && !Files.readString(theirs).contains("-keepattributes")) rules.add(theirs);
      }
      return rules;
    }
  }

  /**
   * The program as dex, shrunk and optimized; a zip file. R8 takes by far the most time of all, so both share it, and it
   * is kept until something changes that it is made of.
   */
  private static Path dex(List<Path> program, Path framework, List<Path> rules, int minSdk, Path out) throws Exception {
    Path dex = out.resolve("dex.zip"), note = out.resolve("dex.made-from");
    String madeFrom = digest(program, framework, rules, minSdk);
    if (Files.exists(dex) && Files.exists(note) && Files.readString(note).equals(madeFrom)) return dex;
    Files.deleteIfExists(note);
    R8.run(R8Command.builder()
        .addProgramFiles(program)
        .addLibraryFiles(framework)
        // Robolectric's framework leaves java.* to the machine that runs it.
        .addLibraryResourceProvider(JdkClassFileProvider.fromSystemJdk())
        .setMinApiLevel(minSdk)
        .setMode(CompilationMode.RELEASE)
        .addProguardConfigurationFiles(rules)
        .setOutput(dex, OutputMode.DexIndexed)
        .build());
    Files.writeString(note, madeFrom);
    return dex;
  }

  /** Of what is in the jars, not of the jars: they are packed anew, with another time, in each build. */
  private static String digest(List<Path> program, Path framework, List<Path> rules, int minSdk) throws Exception {
    MessageDigest digest = MessageDigest.getInstance("SHA-256");
    String tools = Version.getVersionString() + " " + System.getProperty("java.version");
    digest.update((tools + " " + framework.getFileName() + " " + minSdk).getBytes());
    for (Path jar : program) {
      try (ZipFile zip = new ZipFile(jar.toFile())) {
        for (ZipEntry entry : Collections.list(zip.entries())) {
          digest.update(entry.getName().getBytes());
          try (InputStream content = zip.getInputStream(entry)) {
            digest.update(content.readAllBytes());
          }
        }
      }
    }
    for (Path file : rules) digest.update(Files.readAllBytes(file));
    return new BigInteger(1, digest.digest()).toString(16);
  }

  private static void pack(Path linked, Path dex, Path aars, List<String> abis, Path out) throws IOException {
    try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(out)); ZipFile base = new ZipFile(linked.toFile())) {
      for (ZipEntry entry : Collections.list(base.entries())) {
        try (InputStream content = base.getInputStream(entry)) {
          add(zip, entry.getName(), content.readAllBytes(), entry.getMethod());
        }
      }
      try (ZipFile code = new ZipFile(dex.toFile())) {
        for (ZipEntry entry : Collections.list(code.entries())) {
          // Beside it are the resources of the program's jars, which nothing reads on Android.
          if (!entry.getName().matches("classes\\d*\\.dex")) continue;
          try (InputStream content = code.getInputStream(entry)) {
            add(zip, entry.getName(), content.readAllBytes(), ZipEntry.DEFLATED);
          }
        }
      }
      for (String abi : abis) {
        for (String library : NATIVE_LIBRARIES) {
          try (Stream<Path> files = Files.list(aars.resolve(library).resolve("jni").resolve(abi))) {
            // Stored, so that Android maps them from the APK and unpacks nothing at installation.
            for (Path file : (Iterable<Path>) files.sorted()::iterator) {
              add(zip, "lib/" + abi + "/" + file.getFileName(), Files.readAllBytes(file), ZipEntry.STORED);
            }
          }
        }
      }
    }
  }

  /** Every entry gets the same time, so that the same input gives the same APK. */
  private static void add(ZipOutputStream zip, String name, byte[] content, int method) throws IOException {
    ZipEntry entry = new ZipEntry(name);
    entry.setTimeLocal(java.time.LocalDateTime.of(1981, 1, 1, 0, 0));
    entry.setMethod(method);
    if (method == ZipEntry.STORED) {
      CRC32 crc = new CRC32();
      crc.update(content);
      entry.setCrc(crc.getValue());
      entry.setSize(content.length);
    }
    zip.putNextEntry(entry);
    zip.write(content);
    zip.closeEntry();
  }

  private static void sign(Path unsigned, Path apk, ApkSigner.SignerConfig key, int minSdk) throws Exception {
    new ApkSigner.Builder(List.of(key))
        .setInputApk(unsigned.toFile())
        .setOutputApk(apk.toFile())
        .setMinSdkVersion(minSdk)
        .setV1SigningEnabled(false)
        .setV2SigningEnabled(true)
        .setV3SigningEnabled(true)
        .setV4SigningEnabled(false)
        .setAlignmentPreserved(false)
        .setLibraryPageAlignmentBytes(16384)
        .setCreatedBy("vitconv")
        .build()
        .sign();
    ApkVerifier.Result result =
        new ApkVerifier.Builder(apk.toFile()).setMinCheckedPlatformVersion(minSdk).build().verify();
    if (!result.isVerified()) throw new IOException("the signature of " + apk + " is not valid: " + result.getErrors());
  }

  private static ApkSigner.SignerConfig key() throws Exception {
    String given = System.getenv("VITCONV_KEYSTORE");
    Path file = given != null ? Path.of(given) : Path.of(System.getProperty("user.home"), ".android", "debug.keystore");
    String password = given != null ? needed("VITCONV_KEYSTORE_PASSWORD") : "android";
    String alias = given != null ? needed("VITCONV_KEY_ALIAS") : "androiddebugkey";
    if (given == null && !Files.exists(file)) makeDebugKey(file, password, alias);
    KeyStore store = KeyStore.getInstance(file.toFile(), password.toCharArray());
    PrivateKey key = (PrivateKey) store.getKey(alias, password.toCharArray());
    if (key == null) throw new IOException("the keystore " + file + " holds no key named " + alias);
    List<X509Certificate> certificates = Stream.of(store.getCertificateChain(alias))
        .map(X509Certificate.class::cast).collect(Collectors.toList());
    return new ApkSigner.SignerConfig.Builder("CERT", new KeyConfig.Jca(key), certificates).build();
  }

  private static String needed(String variable) throws IOException {
    String value = System.getenv(variable);
    if (value == null) throw new IOException("VITCONV_KEYSTORE is set, so " + variable + " must be set, too");
    return value;
  }

  private static void makeDebugKey(Path file, String password, String alias) throws IOException, InterruptedException {
    Files.createDirectories(file.getParent());
    Path keytool = Path.of(System.getProperty("java.home"), "bin", "keytool");
    int status = new ProcessBuilder(keytool.toString(), "-genkeypair", "-keystore", file.toString(),
        "-storetype", "PKCS12", "-storepass", password, "-alias", alias, "-keyalg", "RSA", "-keysize", "2048",
        "-validity", "10000", "-dname", "CN=Android Debug,O=Android,C=US").inheritIO().start().waitFor();
    if (status != 0) throw new IOException("keytool could not make " + file);
  }
}
