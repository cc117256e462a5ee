import java.io.*;
import java.nio.file.*;

public class Jni {
    static native int threads();

    public static void main(String[] args) throws IOException {
        Path copy = Files.createTempFile("jni", ".so");
        try (InputStream in = Jni.class.getResourceAsStream("/libjni.so")) {
            Files.copy(in, copy, StandardCopyOption.REPLACE_EXISTING);
        }
        System.load(copy.toString());
        System.out.println("threads " + (threads() > 0));
    }
}
