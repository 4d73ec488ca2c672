package io.github.portkeep.junit;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A parameter of a test, a constructor or a lifecycle method, of type {@code int}, {@code Integer} or {@code
 * int[]}, or a field: reserved ports. Each parameter gets others.
 */
@Documented
@Target({ElementType.PARAMETER, ElementType.FIELD})
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith(ReservedPortExtension.class)
public @interface ReservedPort {
    /**
     * How many ports an array has.
     *
     * @return the length
     */
    int count() default 1;
}
